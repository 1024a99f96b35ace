// The precisions that weights and the KV storage come in, by the names that settings use, and what
// `auto` stands for on the CPU at hand. Plain values; any thread.
#ifndef HOCKET_RUNTIME_PRECISION_H_
#define HOCKET_RUNTIME_PRECISION_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace hocket {

// Of the weights: auto, f32, bf16, int8, int4 (groups of 32 inputs share a multiplier), int4-g128
// (groups of 128: smaller, less exact). With the last three, products take int8 activations.
enum class Precision { kAuto, kF32, kBf16, kInt8, kInt4, kInt4G128 };

// INVALID_ARGUMENT that lists the names.
absl::StatusOr<Precision> ParsePrecision(std::string_view name);
std::string_view PrecisionName(Precision precision);
constexpr bool IsQuantized(Precision precision) {
  return precision == Precision::kInt8 || precision == Precision::kInt4 ||
         precision == Precision::kInt4G128;
}

// Of keys and values: auto, f32, bf16, int8 (a scale per token and head). Any goes with any
// weights.
enum class KvPrecision { kAuto, kF32, kBf16, kInt8 };

absl::StatusOr<KvPrecision> ParseKvPrecision(std::string_view name);
std::string_view KvPrecisionName(KvPrecision precision);

// What computes int8 products on a CPU, from the best instruction set down.
enum class Int8Support { kNone, kAvx2, kAvxVnni, kAvx512Vnni, kAmx };
Int8Support DetectInt8Support();

struct PrecisionChoice {
  Precision precision = Precision::kF32;  // Never kAuto.
  std::string reason;                     // "auto: this CPU has AVX-512 VNNI", "as set".
};
PrecisionChoice ChoosePrecision(Precision asked, Int8Support cpu = DetectInt8Support());

// kAuto is f32 with f32 weights, else bf16. Never kAuto.
KvPrecision ChooseKvPrecision(KvPrecision asked, Precision weights);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_PRECISION_H_
