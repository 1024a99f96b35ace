// A weight matrix, packed once, and its product with a step's rows: y = x W^T. Through oneDNN where
// its kernels give a row the same bits in any batch, which is checked on this CPU while loading,
// and through the portable kernel otherwise. Packing and products are called by one thread at a
// time; each product runs on the context's OpenMP team.
#ifndef HOCKET_RUNTIME_KERNELS_LINEAR_H_
#define HOCKET_RUNTIME_KERNELS_LINEAR_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/kernels/aligned_buffer.h"
#include "runtime/kernels/bf16.h"
#include "runtime/kernels/onednn_matmul.h"

namespace hocket {

// What all products of a model share: threads, prepared shapes and scratch. Outlives its Linears.
class LinearContext {
 public:
  enum class Backend { kAuto, kPortable };
  explicit LinearContext(int32_t threads, Backend backend = Backend::kAuto)
      : threads_(threads), backend_(backend) {}

  int32_t threads() const { return threads_; }
  // What the products run on: "brg:avx512_core_bf16", "portable", or both.
  std::string Description() const;

 private:
  template <class T>
  friend class Linear;

  struct Shape {
    std::unique_ptr<OneDnnMatmul> matmul;  // Null: use the portable kernel.
    bool checked = false;
  };

  absl::StatusOr<Shape*> PrepareShape(const MatmulShape& shape);
  absl::Status ReserveScratch(int64_t bytes);

  int32_t threads_;
  Backend backend_;
  std::map<MatmulShape, Shape> shapes_;
  AlignedBuffer scratch_;
};

// T is float or Bf16: of the weights and of x. Sums and y are f32.
template <class T>
class Linear {
 public:
  Linear() = default;
  // weights [outputs][inputs]. Products may have up to max_rows rows.
  static absl::StatusOr<Linear> Pack(LinearContext& context, const T* weights, int64_t inputs,
                                     int64_t outputs, int32_t max_rows);

  int64_t inputs() const { return shape_.inputs; }
  int64_t outputs() const { return shape_.outputs; }
  int64_t bytes() const { return packed_.bytes(); }

  // x [PaddedRows(rows)][inputs] to y [PaddedRows(rows)][outputs]; rows beyond `rows` may hold
  // anything and become anything.
  absl::Status Multiply(const T* x, int32_t rows, float* y) const;

 private:
  absl::Status PackForOneDnn(OneDnnMatmul& matmul, const T* weights);
  absl::Status PackPortable(const T* weights);
  void MultiplyPortable(const T* x, int32_t rows, float* y) const;

  LinearContext* context_ = nullptr;
  MatmulShape shape_;
  OneDnnMatmul* matmul_ = nullptr;  // Null: portable.
  AlignedBuffer packed_;
};

extern template class Linear<float>;
extern template class Linear<Bf16>;

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_LINEAR_H_
