// oneDNN's product of uint8 rows with int8 panels, for CPUs whose matrix unit (AMX) only it drives
// here. It reads the same panels as our kernels, sums are exact integers, and so either may compute
// any part of a product. Owned by the quantized matrix that uses it; any thread may call Multiply.
#ifndef HOCKET_RUNTIME_KERNELS_ONEDNN_INT8_H_
#define HOCKET_RUNTIME_KERNELS_ONEDNN_INT8_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace hocket {

class OneDnnInt8 {
 public:
  // Rows come in tiles of these, prepared once; outputs in runs of kOutputs.
  static constexpr int64_t kRowTiles[] = {64, 32, 16};
  static constexpr int64_t kFewestRows = 16;
  static constexpr int64_t kOutputs = 256;

  // Whether this CPU has a matrix unit for int8 that oneDNN uses.
  static bool IsFastest();

  // inputs: a multiple of 64.
  static absl::StatusOr<std::unique_ptr<OneDnnInt8>> Create(int64_t inputs);
  virtual ~OneDnnInt8() = default;

  // The largest tile within `rows`, or 0.
  static int64_t RowTile(int64_t rows);

  virtual std::string implementation() const = 0;
  virtual int64_t scratch_bytes() const = 0;

  // The right to one product at a time, of which there are as many as threads.
  class Lease {
   public:
    Lease() = default;
    Lease(const OneDnnInt8* owner, int32_t index) : owner_(owner), index_(index) {}
    Lease(Lease&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {
      index_ = other.index_;
    }
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (owner_ != nullptr) owner_->GiveBack(index_);
    }
    bool held() const { return owner_ != nullptr; }
    int32_t index() const { return index_; }

   private:
    const OneDnnInt8* owner_ = nullptr;
    int32_t index_ = 0;
  };
  virtual Lease Take() const = 0;  // Not held when all are taken.

  // sums [rows][kOutputs] = x [rows][inputs] times panels [kOutputs / 32][inputs / 4][32][4]. rows
  // is one of kRowTiles.
  virtual absl::Status Multiply(const Lease& lease, const uint8_t* x, int64_t rows,
                                const uint8_t* panels, int32_t* sums, std::byte* scratch) const = 0;

 protected:
  virtual void GiveBack(int32_t index) const = 0;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_ONEDNN_INT8_H_
