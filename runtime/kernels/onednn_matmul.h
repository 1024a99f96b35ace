// One shape of matrix product through oneDNN: y [rows, outputs] = x [rows, inputs] * weights, f32
// or bf16 inputs, f32 sums and outputs. The primitives for every padded row count are made in
// advance. Used by Linear only; one call at a time.
#ifndef HOCKET_RUNTIME_KERNELS_ONEDNN_MATMUL_H_
#define HOCKET_RUNTIME_KERNELS_ONEDNN_MATMUL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>

#include "absl/status/statusor.h"

namespace hocket {

enum class MatmulType { kF32, kBf16 };

struct MatmulShape {
  MatmulType type = MatmulType::kF32;
  int64_t inputs = 0;
  int64_t outputs = 0;
  int32_t max_rows = 0;  // Largest padded row count.
  bool operator<(const MatmulShape& other) const {
    return std::tie(type, inputs, outputs, max_rows) <
           std::tie(other.type, other.inputs, other.outputs, other.max_rows);
  }
};

// Row counts that have a primitive: `rows` is padded up to one. At least 4: some versions sum a
// single row in another order, and fewer rows are no faster. Steps are small where time grows with
// the row count.
int32_t PaddedRows(int32_t rows);

class OneDnnMatmul {
 public:
  // Weights in this shape's layout, as one product's operand.
  class Operand;

  // UNIMPLEMENTED when oneDNN has no blocked kernel for the shape on this CPU.
  static absl::StatusOr<std::unique_ptr<OneDnnMatmul>> Create(const MatmulShape& shape,
                                                              int32_t threads);
  virtual ~OneDnnMatmul() = default;

  virtual int64_t packed_bytes() const = 0;
  virtual int64_t scratch_bytes() const = 0;
  virtual std::string implementation() const = 0;  // "brg:avx512_core_bf16"

  // weights [outputs][inputs] into `packed`, packed_bytes() long, which outlives the operand.
  virtual absl::StatusOr<std::shared_ptr<Operand>> Pack(const void* weights, void* packed) = 0;

  // `rows` is a value of PaddedRows. x and y hold that many rows.
  virtual absl::Status Multiply(const void* x, int32_t rows, const Operand& weights, void* scratch,
                                float* y) = 0;
};

// Whether a row has the same bits at every row count, place and thread count: runs them all on
// random rows (large row counts are sampled) and compares. FAILED_PRECONDITION naming the first
// that differs.
absl::Status CheckRowInvariance(const MatmulShape& shape, int32_t threads, const void* weights,
                                OneDnnMatmul& matmul, const OneDnnMatmul::Operand& operand);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_ONEDNN_MATMUL_H_
