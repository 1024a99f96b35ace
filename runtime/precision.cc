#include "runtime/precision.h"

#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace hocket {
namespace {

constexpr std::pair<Precision, std::string_view> kPrecisions[] = {
    {Precision::kAuto, "auto"}, {Precision::kF32, "f32"},   {Precision::kBf16, "bf16"},
    {Precision::kInt8, "int8"}, {Precision::kInt4, "int4"}, {Precision::kInt4G128, "int4-g128"}};

constexpr std::pair<KvPrecision, std::string_view> kKvPrecisions[] = {{KvPrecision::kAuto, "auto"},
                                                                      {KvPrecision::kF32, "f32"},
                                                                      {KvPrecision::kBf16, "bf16"},
                                                                      {KvPrecision::kInt8, "int8"}};

template <class E>
absl::StatusOr<E> Parse(std::span<const std::pair<E, std::string_view>> known, const char* field,
                        std::string_view name) {
  std::vector<std::string> names;
  for (const auto& [value, its_name] : known) {
    if (name == its_name) return value;
    names.emplace_back(its_name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": \"", std::string(name), "\" is none of ", absl::StrJoin(names, ", ")));
}

template <class E>
std::string_view NameOf(std::span<const std::pair<E, std::string_view>> known, E value) {
  for (const auto& [its_value, name] : known) {
    if (value == its_value) return name;
  }
  return "unknown";
}

std::string_view Int8SupportName(Int8Support support) {
  switch (support) {
    case Int8Support::kAmx:
      return "AMX";
    case Int8Support::kAvx512Vnni:
      return "AVX-512 VNNI";
    case Int8Support::kAvxVnni:
      return "AVX-VNNI";
    case Int8Support::kAvx2:
      return "AVX2";
    case Int8Support::kNone:
      break;
  }
  return "no int8 products";
}

}  // namespace

absl::StatusOr<Precision> ParsePrecision(std::string_view name) {
  return Parse<Precision>(kPrecisions, "precision", name);
}

std::string_view PrecisionName(Precision precision) {
  return NameOf<Precision>(kPrecisions, precision);
}

absl::StatusOr<KvPrecision> ParseKvPrecision(std::string_view name) {
  return Parse<KvPrecision>(kKvPrecisions, "kv_precision", name);
}

std::string_view KvPrecisionName(KvPrecision precision) {
  return NameOf<KvPrecision>(kKvPrecisions, precision);
}

Int8Support DetectInt8Support() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("amx-int8")) return Int8Support::kAmx;
  if (__builtin_cpu_supports("avx512vnni")) return Int8Support::kAvx512Vnni;
  if (__builtin_cpu_supports("avxvnni")) return Int8Support::kAvxVnni;
  if (__builtin_cpu_supports("avx2")) return Int8Support::kAvx2;
#endif
  return Int8Support::kNone;
}

PrecisionChoice ChoosePrecision(Precision asked, Int8Support cpu) {
  if (asked != Precision::kAuto) return {asked, "as set"};
  const std::string reason = absl::StrCat("auto: this CPU has ", std::string(Int8SupportName(cpu)));
  // Where bf16 products are not native they are still half the memory to read.
  return {cpu == Int8Support::kNone ? Precision::kBf16 : Precision::kInt8, reason};
}

KvPrecision ChooseKvPrecision(KvPrecision asked, Precision weights) {
  if (asked != KvPrecision::kAuto) return asked;
  return weights == Precision::kF32 ? KvPrecision::kF32 : KvPrecision::kBf16;
}

}  // namespace hocket
