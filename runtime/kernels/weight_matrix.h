// A weight matrix, packed once in whatever precision, and its product with a step's rows:
// y = x W^T. The members of a team share a product out among them by rows, by units of outputs, or
// both; each calls Multiply for its part. A row's result depends on that row alone, bit for bit,
// however a product is shared out. Immutable once packed.
#ifndef HOCKET_RUNTIME_KERNELS_WEIGHT_MATRIX_H_
#define HOCKET_RUNTIME_KERNELS_WEIGHT_MATRIX_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "runtime/kernels/team.h"

namespace hocket {

// What a product reads its rows as.
enum class RowFormat {
  kF32,
  kBf16,
  kInt8,  // round(x / scale) + 128 as uint8, scale = max |x| / 127, one per row.
};

// Rows in the form that a product reads them. A view; the memory is its owner's.
struct InputRows {
  RowFormat format = RowFormat::kF32;
  std::byte* data = nullptr;  // [rows][stride_bytes], aligned to 64.
  int64_t stride_bytes = 0;   // At least InputRowBytes.
  float* scales = nullptr;    // [rows], with kInt8.
};

// Bytes of a row, a multiple of 64. Elements after the last are anything.
int64_t InputRowBytes(RowFormat format, int64_t inputs);

// x [inputs] becomes row `row`.
void StoreInputRow(const float* x, int64_t inputs, int64_t row, const InputRows& rows);

struct MatrixShape {
  int64_t inputs = 0;
  int64_t outputs = 0;
  // Two matrices of outputs / 2 each, the gate first, whose products become silu(gate) * up.
  bool gated = false;
  bool operator==(const MatrixShape&) const = default;
};

// Where a product goes.
struct ProductOutput {
  float* y = nullptr;  // [rows][stride]; outputs columns, or half as many of a gated matrix.
  int64_t stride = 0;
  const float* bias = nullptr;  // [outputs], or null.
  bool add = false;             // y += rather than y =. Not with a gated matrix.
};

class WeightMatrix {
 public:
  virtual ~WeightMatrix() = default;

  const MatrixShape& shape() const { return shape_; }
  virtual RowFormat input_format() const = 0;
  virtual int64_t bytes() const = 0;       // Of memory that the weights take.
  virtual std::string kernel() const = 0;  // "avx512_vnni", "brg:avx512_core_bf16".

  // Columns of y that are computed together: unit u is [u * unit_columns, (u + 1) * unit_columns),
  // the last one cut off at the end.
  virtual int64_t unit_columns() const = 0;
  int64_t columns() const { return shape_.gated ? shape_.outputs / 2 : shape_.outputs; }
  int64_t units() const { return (columns() + unit_columns() - 1) / unit_columns(); }

  // Bytes of scratch that a call needs, whatever its part. Aligned to 64.
  virtual int64_t scratch_bytes() const = 0;

  // Computes y for the given rows and units. Several threads may call it at once for parts that do
  // not overlap, each with its own scratch.
  virtual absl::Status Multiply(const InputRows& x, IndexRange rows, IndexRange units,
                                const ProductOutput& output, std::byte* scratch) const = 0;

 protected:
  explicit WeightMatrix(const MatrixShape& shape) : shape_(shape) {}

 private:
  MatrixShape shape_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_WEIGHT_MATRIX_H_
