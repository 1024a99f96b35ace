// The memory that a step works in: every buffer is asked for by name while loading, then one block
// is allocated for all, and a step allocates nothing. Owned by the forward pass.
#ifndef HOCKET_RUNTIME_MODEL_STEP_ARENA_H_
#define HOCKET_RUNTIME_MODEL_STEP_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "runtime/kernels/aligned_buffer.h"

namespace hocket {

class StepArena {
 public:
  // Asks for `count` elements; Allocate sets *buffer to them, aligned to 64 bytes.
  template <class T>
  void Reserve(T** buffer, int64_t count) {
    requests_.push_back({reinterpret_cast<void**>(buffer), bytes_});
    bytes_ += (count * static_cast<int64_t>(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
  }

  // Once, after all requests. RESOURCE_EXHAUSTED naming the size.
  absl::Status Allocate() {
    auto memory = AlignedBuffer::Allocate(bytes_, "a step's arena");
    if (!memory.ok()) return memory.status();
    memory_ = *std::move(memory);
    for (const auto& [buffer, offset] : requests_) *buffer = memory_.As<std::byte>() + offset;
    requests_.clear();
    return absl::OkStatus();
  }

  int64_t bytes() const { return bytes_; }

 private:
  static constexpr int64_t kAlignment = 64;

  std::vector<std::pair<void**, int64_t>> requests_;
  int64_t bytes_ = 0;
  AlignedBuffer memory_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_STEP_ARENA_H_
