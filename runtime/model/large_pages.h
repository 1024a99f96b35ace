// Moves a mapped file's contents into large pages of this process while others read them. A read of
// mapped weights by 4 KiB pages waits for the translation of addresses as much as for memory: where
// one thread read 22 GB/s of a mapped file, it read 30 of the same bytes in pages of 2 MiB. Copying
// first would make every start wait, so the mapping serves at once, and each 2 MiB is exchanged
// under its readers: the system swaps the pages of an address range in one step, and the bytes are
// the same before and after. The owner of the mapping owns this too, and destroys it first.
#ifndef HOCKET_RUNTIME_MODEL_LARGE_PAGES_H_
#define HOCKET_RUNTIME_MODEL_LARGE_PAGES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <thread>

namespace hocket {

class LargePageMove {
 public:
  // `bytes`: a private read-only mapping that begins on a page and outlives this. `done` hears how
  // many bytes were moved and in how many seconds, on a thread of its own, unless this is destroyed
  // before; 0 bytes where the system gives no large pages. What cannot be moved stays as it is.
  LargePageMove(std::span<const std::byte> bytes, std::function<void(int64_t, double)> done);
  ~LargePageMove();
  LargePageMove(const LargePageMove&) = delete;
  LargePageMove& operator=(const LargePageMove&) = delete;

  void Wait();  // Until it is done. By one thread.

 private:
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_LARGE_PAGES_H_
