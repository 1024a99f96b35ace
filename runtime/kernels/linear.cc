#include "runtime/kernels/linear.h"

#include <algorithm>
#include <set>
#include <type_traits>
#include <vector>

#include "absl/strings/str_join.h"
#include "runtime/kernels/activation.h"
#include "runtime/kernels/portable_matmul.h"

namespace hocket {

std::string LinearContext::Description() const {
  std::set<std::string> names;
  for (const auto& [shape, prepared] : shapes_) {
    names.insert(prepared.matmul == nullptr ? "portable" : prepared.matmul->implementation());
  }
  return absl::StrJoin(names, "+");
}

absl::StatusOr<LinearContext::Shape*> LinearContext::PrepareShape(const MatmulShape& shape) {
  const auto [found, inserted] = shapes_.try_emplace(shape);
  Shape& prepared = found->second;
  if (!inserted || backend_ == Backend::kPortable) return &prepared;
  auto matmul = OneDnnMatmul::Create(shape, threads_);
  if (matmul.ok()) prepared.matmul = *std::move(matmul);
  return &prepared;
}

absl::Status LinearContext::ReserveScratch(int64_t bytes) {
  if (bytes <= scratch_.bytes()) return absl::OkStatus();
  auto scratch = AlignedBuffer::Allocate(bytes, "matrix product scratch");
  if (!scratch.ok()) return scratch.status();
  scratch_ = *std::move(scratch);
  return absl::OkStatus();
}

template <class T>
absl::StatusOr<Linear<T>> Linear<T>::Pack(LinearContext& context, const T* weights, int64_t inputs,
                                          int64_t outputs, int32_t max_rows) {
  Linear linear;
  linear.context_ = &context;
  linear.shape_ = {std::is_same_v<T, Bf16> ? MatmulType::kBf16 : MatmulType::kF32, inputs, outputs,
                   PaddedRows(max_rows)};
  const auto prepared = context.PrepareShape(linear.shape_);
  if (!prepared.ok()) return prepared.status();
  LinearContext::Shape& shape = **prepared;
  if (shape.matmul != nullptr) {
    absl::Status status = linear.PackForOneDnn(*shape.matmul, weights);
    if (!status.ok()) return status;
    if (!shape.checked) {
      shape.checked = true;
      status = CheckRowInvariance(linear.shape_, context.threads_, weights, *shape.matmul,
                                  linear.packed_.data());
      if (!status.ok()) shape.matmul.reset();
    }
    if (shape.matmul != nullptr) {
      linear.matmul_ = shape.matmul.get();
      return linear;
    }
  }
  const absl::Status status = linear.PackPortable(weights);
  if (!status.ok()) return status;
  return linear;
}

template <class T>
absl::Status Linear<T>::PackForOneDnn(OneDnnMatmul& matmul, const T* weights) {
  absl::Status status = context_->ReserveScratch(matmul.scratch_bytes());
  if (!status.ok()) return status;
  auto packed = AlignedBuffer::Allocate(matmul.packed_bytes(), "packed weights");
  if (!packed.ok()) return packed.status();
  packed_ = *std::move(packed);
  return matmul.Pack(weights, packed_.data());
}

template <class T>
absl::Status Linear<T>::PackPortable(const T* weights) {
  if (std::is_same_v<T, Bf16>) {
    const int64_t widened_bytes = shape_.max_rows * shape_.inputs * sizeof(float);
    const absl::Status status = context_->ReserveScratch(widened_bytes);
    if (!status.ok()) return status;
  }
  const int64_t panels = PanelCount(shape_.outputs);
  const int64_t elements = panels * kPanelOutputs * shape_.inputs;
  auto packed = AlignedBuffer::Allocate(elements * sizeof(T), "packed weights");
  if (!packed.ok()) return packed.status();
  packed_ = *std::move(packed);
#pragma omp parallel for num_threads(context_->threads_)
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int64_t first = panel * kPanelOutputs;
    PackPanel(weights + first * shape_.inputs, shape_.inputs,
              std::min<int64_t>(kPanelOutputs, shape_.outputs - first),
              packed_.As<T>() + first * shape_.inputs);
  }
  return absl::OkStatus();
}

template <class T>
absl::Status Linear<T>::Multiply(const T* x, int32_t rows, float* y) const {
  if (matmul_ != nullptr) {
    return matmul_->Multiply(x, PaddedRows(rows), packed_.data(), context_->scratch_.data(), y);
  }
  MultiplyPortable(x, rows, y);
  return absl::OkStatus();
}

template <class T>
void Linear<T>::MultiplyPortable(const T* x, int32_t rows, float* y) const {
  const int64_t panels = PanelCount(shape_.outputs);
  float* const widened = context_->scratch_.template As<float>();
#pragma omp parallel num_threads(context_->threads_)
  {
    const float* input = nullptr;
    if constexpr (std::is_same_v<T, Bf16>) {
#pragma omp for
      for (int32_t r = 0; r < rows; ++r) {
        Convert(x + r * shape_.inputs, shape_.inputs, widened + r * shape_.inputs);
      }
      input = widened;
    } else {
      input = x;
    }
#pragma omp for
    for (int64_t panel = 0; panel < panels; ++panel) {
      const int64_t first = panel * kPanelOutputs;
      const T* const weights = packed_.As<T>() + first * shape_.inputs;
      if (first + kPanelOutputs <= shape_.outputs) {
        MultiplyPanels(input, shape_.inputs, rows, shape_.inputs, weights, 1, y + first,
                       shape_.outputs);
        continue;
      }
      std::vector<float> last(rows * kPanelOutputs);
      MultiplyPanels(input, shape_.inputs, rows, shape_.inputs, weights, 1, last.data(),
                     kPanelOutputs);
      for (int32_t r = 0; r < rows; ++r) {
        std::copy_n(&last[r * kPanelOutputs], shape_.outputs - first,
                    y + r * shape_.outputs + first);
      }
    }
  }
}

template class Linear<float>;
template class Linear<Bf16>;

}  // namespace hocket
