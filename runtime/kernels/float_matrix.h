// Weight matrices in f32 and bf16. The columns are packed unit by unit, and each product of a block
// of rows with a unit is one single-threaded call: of oneDNN where its kernels give a row the same
// bits in any batch, which is checked on this CPU while loading, and of the portable kernel
// otherwise. Made by one thread at a time; products as weight_matrix.h says.
#ifndef HOCKET_RUNTIME_KERNELS_FLOAT_MATRIX_H_
#define HOCKET_RUNTIME_KERNELS_FLOAT_MATRIX_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "runtime/kernels/aligned_buffer.h"
#include "runtime/kernels/bf16.h"
#include "runtime/kernels/onednn_matmul.h"
#include "runtime/kernels/team.h"
#include "runtime/kernels/weight_matrix.h"

namespace hocket {

// What the matrices of a model share: the team that packs them and later calls their products, and
// the prepared oneDNN products. Needed while packing only.
class FloatMatrixContext {
 public:
  enum class Backend {
    kAuto,
    kPortable,
    kOneDnn,  // Whichever kernel oneDNN has, unchecked: for tests and measurements.
  };
  explicit FloatMatrixContext(Team& team, Backend backend = Backend::kAuto)
      : team_(team), backend_(backend) {}

  Team& team() { return team_; }

  // For units of `outputs` weight rows. Null: use the portable kernel. Fails with kOneDnn only.
  absl::StatusOr<std::shared_ptr<const OneDnnMatmul>> PrepareUnits(MatmulType type, int64_t inputs,
                                                                   int64_t outputs);

 private:
  Team& team_;
  Backend backend_;
  std::map<MatmulShape, std::shared_ptr<const OneDnnMatmul>> prepared_;
};

// T is float or Bf16: of the weights and of x. Sums and y are f32.
template <class T>
class FloatMatrix final : public WeightMatrix {
 public:
  // Writes the weights [inputs] of an output to a row. Called by every member of the team.
  using ReadRow = absl::FunctionRef<void(int64_t output, T* row)>;

  // RESOURCE_EXHAUSTED when memory is short. Rows are read in about the order of their outputs.
  static absl::StatusOr<std::unique_ptr<FloatMatrix>> Pack(FloatMatrixContext& context,
                                                           const MatrixShape& shape,
                                                           ReadRow read_row);
  // weights [outputs][inputs].
  static absl::StatusOr<std::unique_ptr<FloatMatrix>> Pack(FloatMatrixContext& context,
                                                           const T* weights,
                                                           const MatrixShape& shape);

  RowFormat input_format() const override;
  int64_t bytes() const override { return packed_.bytes(); }
  std::string kernel() const override;
  int64_t unit_columns() const override { return unit_columns_; }
  int64_t scratch_bytes() const override { return scratch_.bytes; }

  // Shares of rows that begin at multiples of 16 are quicker: others are copied first.
  absl::Status Multiply(const InputRows& x, IndexRange rows, IndexRange units,
                        const ProductOutput& output, std::byte* scratch) const override;

 private:
  // Where things lie in a call's scratch, in bytes from its begin.
  struct ScratchLayout {
    int64_t rows = 0;     // The block's rows, where the kernel cannot take them where they lie.
    int64_t library = 0;  // oneDNN's own.
    int64_t bytes = 0;    // The unit's sums f32 [block_rows][unit_outputs] come first.
  };

  explicit FloatMatrix(const MatrixShape& shape);
  int64_t unit_outputs() const { return unit_columns_ * (shape().gated ? 2 : 1); }
  void LayOutScratch();
  absl::Status PackUnit(ReadRow read_row, int64_t unit, T* staging) const;
  // The first row of `rows` of x, as the kernel takes it: in place, or made in scratch.
  const std::byte* PrepareRows(const InputRows& x, IndexRange rows, std::byte* scratch) const;
  absl::Status MultiplyUnit(const InputRows& x, const std::byte* first_row, int64_t rows,
                            int64_t unit, std::byte* scratch) const;
  void StoreUnit(const float* sums, IndexRange rows, int64_t unit,
                 const ProductOutput& output) const;

  std::shared_ptr<const OneDnnMatmul> matmul_;  // Null: portable.
  int64_t unit_columns_ = 0;
  int64_t unit_bytes_ = 0;  // In packed_, from one unit to the next.
  int64_t block_rows_ = 0;  // Rows that a unit is multiplied with at a time, at most.
  ScratchLayout scratch_;
  AlignedBuffer packed_;
};

extern template class FloatMatrix<float>;
extern template class FloatMatrix<Bf16>;

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_FLOAT_MATRIX_H_
