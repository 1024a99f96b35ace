// A weight matrix of small integers: int8 with a scale for each output, or int4 with a scale for
// each output and an integer multiplier for each group of inputs. Rows come as int8 too, so a
// product is a sum of integers, exact in any order: every kernel, tile and split gives the same
// bits. The packed form is one run of bytes without pointers, which may lie in a mapped file; a
// QuantizedMatrix is a view of it.
#ifndef HOCKET_RUNTIME_KERNELS_QUANTIZED_MATRIX_H_
#define HOCKET_RUNTIME_KERNELS_QUANTIZED_MATRIX_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "runtime/kernels/int8_dot.h"
#include "runtime/kernels/onednn_int8.h"
#include "runtime/kernels/weight_matrix.h"

namespace hocket {

struct QuantizedFormat {
  enum class Kind { kInt8, kInt4 };
  Kind kind = Kind::kInt8;
  int32_t group = 0;  // Inputs that share a multiplier, 32 or 128. Only with kInt4.
  bool operator==(const QuantizedFormat&) const = default;
};

// Where the parts of a packed matrix lie. Outputs are kept in panels of 32; those of a gated matrix
// alternate, gate and up. Inputs are padded with zero weights to a multiple of 64.
struct QuantizedLayout {
  QuantizedLayout(const MatrixShape& shape, const QuantizedFormat& format);

  int64_t panels = 0;
  int64_t padded_inputs = 0;
  int64_t groups = 0;        // Of inputs, with int4.
  int64_t panel_bytes = 0;   // Of weights.
  int64_t scales = 0;        // Offset of f32 [panels][32].
  int64_t compensation = 0;  // Offset of int32 [panels][32]: 128 * the sum of an output's weights.
  int64_t multipliers = 0;   // Offset of uint8 [panels][groups][32], with int4.
  int64_t weights = 0;       // Offset of the panels.
  int64_t bytes = 0;
};

// What multiplies many rows by many outputs: our own kernels, or oneDNN where the CPU has a matrix
// unit. The bits are the same.
enum class WideProducts { kAuto, kOwn, kOneDnn };

class QuantizedMatrix : public WeightMatrix {
 public:
  static constexpr int64_t kUnitColumns = kPanelOutputs;
  // Sums of more products might not fit 32 bits.
  static constexpr int64_t kMostInputs = 65536;

  // INVALID_ARGUMENT naming the value when a matrix of this shape and format cannot be packed.
  static absl::Status Validate(const MatrixShape& shape, const QuantizedFormat& format);

  // Bytes of the packed matrix, a multiple of 64.
  static int64_t PackedBytes(const MatrixShape& shape, const QuantizedFormat& format);
  static int64_t Units(const MatrixShape& shape);

  // Packs what unit `unit` needs; to be called once for each unit, in any order and by any threads.
  // read_row writes the weights of an output [inputs] to a row. packed: PackedBytes, aligned to 64.
  // scratch: PackScratchBytes, aligned to 64, one for each thread.
  static int64_t PackScratchBytes(const MatrixShape& shape);
  static void PackUnit(const MatrixShape& shape, const QuantizedFormat& format, int64_t unit,
                       absl::FunctionRef<void(int64_t output, float* row)> read_row,
                       std::byte* packed, std::byte* scratch);

  // A view of packed weights, which outlive it.
  static absl::StatusOr<std::unique_ptr<QuantizedMatrix>> Open(
      const MatrixShape& shape, const QuantizedFormat& format, const std::byte* packed,
      const Int8DotKernel& dot = BestInt8DotKernel(), WideProducts wide = WideProducts::kAuto);

  RowFormat input_format() const override { return RowFormat::kInt8; }
  int64_t bytes() const override { return layout_.bytes; }
  std::string kernel() const override;
  int64_t unit_columns() const override { return kUnitColumns; }
  int64_t scratch_bytes() const override;
  absl::Status Multiply(const InputRows& x, IndexRange rows, IndexRange units,
                        const ProductOutput& output, std::byte* scratch) const override;

  // What output `output` stands for: the scale, and the integer weights [inputs] that multiply it.
  float OutputScale(int64_t output) const;
  void OutputWeights(int64_t output, int8_t* weights) const;

 private:
  struct Scratch;

  QuantizedMatrix(const MatrixShape& shape, const QuantizedFormat& format, const std::byte* packed,
                  const Int8DotKernel& dot)
      : WeightMatrix(shape), format_(format), layout_(shape, format), packed_(packed), dot_(dot) {}

  Scratch ScratchParts() const;
  void MultiplyBlock(const InputRows& x, IndexRange rows, IndexRange units,
                     const ProductOutput& output, std::byte* scratch) const;
  absl::Status MultiplyWide(const OneDnnInt8::Lease& lease, const InputRows& x, IndexRange rows,
                            IndexRange units, const ProductOutput& output,
                            std::byte* scratch) const;
  const uint8_t* WidePanels(int64_t unit, uint8_t* unpacked) const;
  void FinishUnit(const InputRows& x, IndexRange rows, int64_t unit, const DotSums& sums,
                  const ProductOutput& output) const;
  void MultiplyPanel(int64_t panel, const DotRows& rows, uint8_t* unpacked,
                     const DotSums& sums) const;
  const PanelKernel& kernels() const {
    return format_.kind == QuantizedFormat::Kind::kInt8 ? dot_.int8 : dot_.int4;
  }
  DotPanel PanelAt(int64_t panel) const;
  int64_t PanelsOfUnit() const { return shape().gated ? 2 : 1; }
  int64_t WideUnits() const { return OneDnnInt8::kOutputs / kPanelOutputs / PanelsOfUnit(); }

  const QuantizedFormat format_;
  const QuantizedLayout layout_;
  const std::byte* const packed_;
  const Int8DotKernel& dot_;
  std::unique_ptr<OneDnnInt8> wide_;  // Or null.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_QUANTIZED_MATRIX_H_
