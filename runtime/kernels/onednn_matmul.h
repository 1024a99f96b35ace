// One shape of matrix product through oneDNN: y [rows, outputs] = x [rows, inputs] * weights, f32
// or bf16 inputs, f32 sums and outputs. The primitives for every padded row count, and what their
// calls need, are made in advance; several threads may call at once. Owned by the context of a
// model's matrices.
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

// Which of oneDNN's kernels to take.
enum class KernelChoice {
  kBlocked,  // Its blocked ones, which have given a row the same bits in any batch.
  kAny,      // Whichever it offers, for tests and measurements.
};

class OneDnnMatmul {
 public:
  // Every product runs on the thread that calls it, within a parallel region too; more than
  // `callers` at a time wait for one another. UNIMPLEMENTED when oneDNN has no such kernel for the
  // shape on this CPU.
  static absl::StatusOr<std::unique_ptr<OneDnnMatmul>> Create(
      const MatmulShape& shape, int32_t callers, KernelChoice choice = KernelChoice::kBlocked);
  virtual ~OneDnnMatmul() = default;

  virtual int64_t packed_bytes() const = 0;
  virtual int64_t scratch_bytes() const = 0;
  virtual std::string implementation() const = 0;  // "brg:avx512_core_bf16"

  // weights [outputs][inputs] into `packed`, packed_bytes() long and aligned to 64.
  virtual absl::Status Pack(const void* weights, void* packed) const = 0;

  // `rows` is a value of PaddedRows. x and y hold that many rows, without gaps. oneDNN allocates a
  // few small objects in every call; nothing else is.
  virtual absl::Status Multiply(const void* x, int32_t rows, const void* packed, void* scratch,
                                float* y) const = 0;
};

// Whether a row has the same bits at every row count and place: runs them all on random rows and
// compares. FAILED_PRECONDITION naming the first that differs. `packed` is what Pack made of random
// weights.
absl::Status CheckRowInvariance(const MatmulShape& shape, const OneDnnMatmul& matmul,
                                const void* packed);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_ONEDNN_MATMUL_H_
