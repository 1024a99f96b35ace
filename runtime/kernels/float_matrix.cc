#include "runtime/kernels/float_matrix.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <type_traits>
#include <vector>

#include "runtime/kernels/activation.h"
#include "runtime/kernels/portable_matmul.h"

namespace hocket {
namespace {

// oneDNN's primitives are made for row counts up to this.
constexpr int32_t kOneDnnBlockRows = 128;
constexpr int64_t kPortableBlockRows = 48;

// Blocks of rows that begin at multiples of this may be read up to their padded count: as the steps
// of PaddedRows divide each other, that is never beyond the padded count of all the rows.
constexpr int64_t kPlainBlockBegin = 16;

int64_t RoundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// Wide enough that a call's fixed cost is small beside its reading of weights, and narrow enough
// that a team finds units to share. By the shape alone: neither threads nor batch may choose.
int64_t ChooseUnitColumns(const MatrixShape& shape, int64_t element_bytes) {
  constexpr int64_t kFewestBytes = 256 << 10;
  constexpr int64_t kFewestUnits = 16;
  constexpr int64_t kMostOutputs = 256;
  const int64_t halves = shape.gated ? 2 : 1;
  const int64_t columns = shape.outputs / halves;
  int64_t unit = 64;
  while (2 * unit * halves <= kMostOutputs && columns / (2 * unit) >= kFewestUnits &&
         unit * halves * shape.inputs * element_bytes < kFewestBytes) {
    unit *= 2;
  }
  return unit;
}

template <class T>
std::vector<T> RandomWeights(int64_t count) {
  std::vector<T> weights(count);
  uint32_t state = 1;
  for (T& weight : weights) {
    state = state * 1664525u + 1013904223u;
    const float value = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
    if constexpr (std::is_same_v<T, Bf16>) {
      weight = ToBf16(value);
    } else {
      weight = value;
    }
  }
  return weights;
}

template <class T>
absl::Status CheckUnits(const MatmulShape& shape, const OneDnnMatmul& matmul) {
  const std::vector<T> weights = RandomWeights<T>(shape.inputs * shape.outputs);
  const auto packed = AlignedBuffer::Allocate(matmul.packed_bytes(), "packed weights");
  if (!packed.ok()) return packed.status();
  const absl::Status status = matmul.Pack(weights.data(), packed->data());
  if (!status.ok()) return status;
  return CheckRowInvariance(shape, matmul, packed->data());
}

}  // namespace

absl::StatusOr<std::shared_ptr<const OneDnnMatmul>> FloatMatrixContext::PrepareUnits(
    MatmulType type, int64_t inputs, int64_t outputs) {
  const MatmulShape shape{type, inputs, outputs, kOneDnnBlockRows};
  const auto [found, inserted] = prepared_.try_emplace(shape);
  if (!inserted || backend_ == Backend::kPortable) return found->second;
  const bool any = backend_ == Backend::kOneDnn;
  auto matmul = OneDnnMatmul::Create(shape, team_.threads(),
                                     any ? KernelChoice::kAny : KernelChoice::kBlocked);
  if (!matmul.ok()) {
    if (any) return matmul.status();
    return found->second;
  }
  if (any || (type == MatmulType::kBf16 ? CheckUnits<Bf16>(shape, **matmul)
                                        : CheckUnits<float>(shape, **matmul))
                 .ok()) {
    found->second = *std::move(matmul);
  }
  return found->second;
}

template <class T>
FloatMatrix<T>::FloatMatrix(const MatrixShape& shape)
    : WeightMatrix(shape), unit_columns_(ChooseUnitColumns(shape, sizeof(T))) {}

template <class T>
RowFormat FloatMatrix<T>::input_format() const {
  return std::is_same_v<T, Bf16> ? RowFormat::kBf16 : RowFormat::kF32;
}

template <class T>
std::string FloatMatrix<T>::kernel() const {
  return matmul_ == nullptr ? "portable" : matmul_->implementation();
}

template <class T>
void FloatMatrix<T>::LayOutScratch() {
  const bool portable = matmul_ == nullptr;
  int64_t row_bytes = shape().inputs * sizeof(T);
  if (portable) row_bytes = std::is_same_v<T, Bf16> ? shape().inputs * sizeof(float) : 0;
  scratch_.rows = RoundUp(block_rows_ * unit_outputs() * sizeof(float), 64);
  scratch_.library = scratch_.rows + RoundUp(block_rows_ * row_bytes, 64);
  scratch_.bytes = scratch_.library + (portable ? 0 : RoundUp(matmul_->scratch_bytes(), 64));
}

template <class T>
absl::StatusOr<std::unique_ptr<FloatMatrix<T>>> FloatMatrix<T>::Pack(FloatMatrixContext& context,
                                                                     const MatrixShape& shape,
                                                                     ReadRow read_row) {
  std::unique_ptr<FloatMatrix> matrix(new FloatMatrix(shape));
  auto matmul = context.PrepareUnits(std::is_same_v<T, Bf16> ? MatmulType::kBf16 : MatmulType::kF32,
                                     shape.inputs, matrix->unit_outputs());
  if (!matmul.ok()) return matmul.status();
  matrix->matmul_ = *std::move(matmul);
  const bool portable = matrix->matmul_ == nullptr;
  const int64_t unit_elements = shape.inputs * matrix->unit_outputs();
  matrix->unit_bytes_ =
      RoundUp(portable ? unit_elements * sizeof(T) : matrix->matmul_->packed_bytes(), 64);
  matrix->block_rows_ = portable ? kPortableBlockRows : kOneDnnBlockRows;
  matrix->LayOutScratch();
  auto packed = AlignedBuffer::Allocate(matrix->units() * matrix->unit_bytes_, "packed weights");
  if (!packed.ok()) return packed.status();
  matrix->packed_ = *std::move(packed);

  absl::Status failure;
  std::mutex failing;
  context.team().Run([&](TeamMember& member) {
    std::vector<T> staging(unit_elements);
    member.ForEach(matrix->units(), [&](int64_t unit) {
      const absl::Status status = matrix->PackUnit(read_row, unit, staging.data());
      if (status.ok()) return;
      const std::lock_guard lock(failing);
      failure = status;
    });
  });
  if (!failure.ok()) return failure;
  return matrix;
}

template <class T>
absl::StatusOr<std::unique_ptr<FloatMatrix<T>>> FloatMatrix<T>::Pack(FloatMatrixContext& context,
                                                                     const T* weights,
                                                                     const MatrixShape& shape) {
  return Pack(context, shape, [&](int64_t output, T* row) {
    std::copy_n(weights + output * shape.inputs, shape.inputs, row);
  });
}

// A unit's weight rows: its columns', and with a gated matrix its gates' and then its ups'. Rows
// after the last column's are zeros, so that every unit is the same product.
template <class T>
absl::Status FloatMatrix<T>::PackUnit(ReadRow read_row, int64_t unit, T* staging) const {
  const int64_t inputs = shape().inputs;
  const int64_t first = unit * unit_columns_;
  const int64_t count = std::min(unit_columns_, columns() - first);
  const int64_t halves = shape().gated ? 2 : 1;
  for (int64_t half = 0; half < halves; ++half) {
    T* const to = staging + half * unit_columns_ * inputs;
    for (int64_t c = 0; c < count; ++c) read_row(half * columns() + first + c, to + c * inputs);
    std::fill(to + count * inputs, to + unit_columns_ * inputs, T{});
  }
  std::byte* const packed = packed_.As<std::byte>() + unit * unit_bytes_;
  if (matmul_ != nullptr) return matmul_->Pack(staging, packed);
  T* panel = reinterpret_cast<T*>(packed);
  for (int64_t c = 0; c < unit_outputs(); c += kPanelOutputs, panel += kPanelOutputs * inputs) {
    PackPanel(staging + c * inputs, inputs, kPanelOutputs, panel);
  }
  return absl::OkStatus();
}

template <class T>
absl::Status FloatMatrix<T>::Multiply(const InputRows& x, IndexRange rows, IndexRange units,
                                      const ProductOutput& output, std::byte* scratch) const {
  // A block of rows stays in cache while the weights go by.
  for (int64_t begin = rows.begin; begin < rows.end; begin += block_rows_) {
    const IndexRange block{begin, std::min(rows.end, begin + block_rows_)};
    const std::byte* const first_row = PrepareRows(x, block, scratch);
    for (int64_t unit = units.begin; unit < units.end; ++unit) {
      const absl::Status status = MultiplyUnit(x, first_row, block.size(), unit, scratch);
      if (!status.ok()) return status;
      StoreUnit(reinterpret_cast<const float*>(scratch), block, unit, output);
    }
  }
  return absl::OkStatus();
}

template <class T>
const std::byte* FloatMatrix<T>::PrepareRows(const InputRows& x, IndexRange rows,
                                             std::byte* scratch) const {
  const std::byte* const from = x.data + rows.begin * x.stride_bytes;
  std::byte* const made = scratch + scratch_.rows;
  const int64_t inputs = shape().inputs;
  if (matmul_ == nullptr) {
    if constexpr (std::is_same_v<T, Bf16>) {
      float* const widened = reinterpret_cast<float*>(made);
      for (int64_t r = 0; r < rows.size(); ++r) {
        Convert(reinterpret_cast<const Bf16*>(from + r * x.stride_bytes), inputs,
                widened + r * inputs);
      }
      return made;
    }
    return from;
  }
  const int64_t row_bytes = inputs * sizeof(T);
  if (x.stride_bytes == row_bytes && rows.begin % kPlainBlockBegin == 0) return from;
  for (int64_t r = 0; r < rows.size(); ++r) {
    std::memcpy(made + r * row_bytes, from + r * x.stride_bytes, row_bytes);
  }
  return made;
}

// The unit's sums to the begin of scratch, [rows][unit_outputs].
template <class T>
absl::Status FloatMatrix<T>::MultiplyUnit(const InputRows& x, const std::byte* first_row,
                                          int64_t rows, int64_t unit, std::byte* scratch) const {
  const std::byte* const packed = packed_.As<std::byte>() + unit * unit_bytes_;
  float* const sums = reinterpret_cast<float*>(scratch);
  if (matmul_ != nullptr) {
    return matmul_->Multiply(first_row, PaddedRows(static_cast<int32_t>(rows)), packed,
                             scratch + scratch_.library, sums);
  }
  const int64_t inputs = shape().inputs;
  const int64_t stride = std::is_same_v<T, Bf16> ? inputs : x.stride_bytes / sizeof(float);
  MultiplyPanels(reinterpret_cast<const float*>(first_row), stride, rows, inputs,
                 reinterpret_cast<const T*>(packed), unit_outputs() / kPanelOutputs, sums,
                 unit_outputs());
  return absl::OkStatus();
}

template <class T>
void FloatMatrix<T>::StoreUnit(const float* sums, IndexRange rows, int64_t unit,
                               const ProductOutput& output) const {
  const int64_t first = unit * unit_columns_;
  const int64_t count = std::min(unit_columns_, columns() - first);
  const float* const bias = output.bias == nullptr ? nullptr : output.bias + first;
  for (int64_t r = rows.begin; r < rows.end; ++r, sums += unit_outputs()) {
    float* const y = output.y + r * output.stride + first;
    if (shape().gated) {
      SwiGlu(sums, sums + unit_columns_, bias, bias == nullptr ? nullptr : bias + columns(), count,
             y);
    } else {
      StoreProduct(sums, bias, count, output.add, y);
    }
  }
}

template class FloatMatrix<float>;
template class FloatMatrix<Bf16>;

}  // namespace hocket
