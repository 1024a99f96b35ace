#include "runtime/model/large_pages.h"

#include <sys/mman.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

namespace hocket {
namespace {

constexpr size_t kLargePageBytes = size_t{2} << 20;

// Whether a process may have large pages by asking for them.
bool SystemHasLargePages() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string word;
  while (file >> word) {
    if (word == "[always]" || word == "[madvise]") return true;
  }
  return false;
}

uintptr_t NextLargePage(uintptr_t address) {
  return (address + kLargePageBytes - 1) / kLargePageBytes * kLargePageBytes;
}

// Address space of this process, of one piece with the range that it is to replace, so that the
// moved pages are one piece again and not one for each. It is given away from its beginning on:
// what a page has left is free for anyone, a new thread's stack for one, and no longer ours.
class Staging {
 public:
  explicit Staging(size_t bytes) {
    void* const mapping = mmap(nullptr, bytes + kLargePageBytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return;
    madvise(mapping, bytes + kLargePageBytes, MADV_HUGEPAGE);
    const auto begin = reinterpret_cast<uintptr_t>(mapping);
    end_ = begin + bytes + kLargePageBytes;
    next_ = NextLargePage(begin);
    if (next_ > begin) munmap(mapping, next_ - begin);
  }
  ~Staging() {
    if (end_ > next_) munmap(reinterpret_cast<void*>(next_), end_ - next_);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Copies `page` and puts the copy's pages in its place. As often as there are large pages in
  // `bytes`; false when the system does not play along.
  bool Exchange(void* page) {
    if (end_ - next_ < kLargePageBytes) return false;
    void* const copy = reinterpret_cast<void*>(next_);
    std::memcpy(copy, page, kLargePageBytes);
    if (mprotect(copy, kLargePageBytes, PROT_READ) != 0 ||
        mremap(copy, kLargePageBytes, kLargePageBytes, MREMAP_MAYMOVE | MREMAP_FIXED, page) !=
            page) {
      return false;
    }
    next_ += kLargePageBytes;
    return true;
  }

 private:
  uintptr_t next_ = 0;  // The copy to come; what is before it is no longer ours.
  uintptr_t end_ = 0;
};

int64_t Move(std::span<const std::byte> bytes, const std::atomic<bool>& stopped) {
  const uintptr_t start = NextLargePage(reinterpret_cast<uintptr_t>(bytes.data()));
  const uintptr_t end = reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size();
  if (!SystemHasLargePages() || start + kLargePageBytes > end) return 0;
  Staging staging(end - start);
  uintptr_t page = start;
  for (; page + kLargePageBytes <= end && !stopped; page += kLargePageBytes) {
    if (!staging.Exchange(reinterpret_cast<void*>(page))) break;
  }
  return static_cast<int64_t>(page - start);
}

}  // namespace

LargePageMove::LargePageMove(std::span<const std::byte> bytes,
                             std::function<void(int64_t, double)> done) {
  thread_ = std::thread([this, bytes, done = std::move(done)] {
    const auto start = std::chrono::steady_clock::now();
    const int64_t moved = Move(bytes, stopped_);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (!stopped_ && done) done(moved, seconds.count());
  });
}

LargePageMove::~LargePageMove() {
  stopped_ = true;
  if (thread_.joinable()) thread_.join();
}

void LargePageMove::Wait() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace hocket
