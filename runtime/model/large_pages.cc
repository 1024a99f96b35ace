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
// moved pages are one piece again and not one for each.
class Staging {
 public:
  explicit Staging(size_t bytes)
      : bytes_(bytes + kLargePageBytes),
        mapping_(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    if (mapping_ != MAP_FAILED) madvise(mapping_, bytes_, MADV_HUGEPAGE);
  }
  ~Staging() {
    if (mapping_ != MAP_FAILED) munmap(mapping_, bytes_);
  }

  // Copies `page` to `offset` here, and puts the copy's pages in its place.
  bool Exchange(void* page, size_t offset) {
    if (mapping_ == MAP_FAILED) return false;
    void* const copy =
        reinterpret_cast<void*>(NextLargePage(reinterpret_cast<uintptr_t>(mapping_)) + offset);
    std::memcpy(copy, page, kLargePageBytes);
    return mprotect(copy, kLargePageBytes, PROT_READ) == 0 &&
           mremap(copy, kLargePageBytes, kLargePageBytes, MREMAP_MAYMOVE | MREMAP_FIXED, page) ==
               page;
  }

 private:
  const size_t bytes_;
  void* const mapping_;
};

int64_t Move(std::span<const std::byte> bytes, const std::atomic<bool>& stopped) {
  const uintptr_t start = NextLargePage(reinterpret_cast<uintptr_t>(bytes.data()));
  const uintptr_t end = reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size();
  if (!SystemHasLargePages() || start + kLargePageBytes > end) return 0;
  Staging staging(end - start);
  uintptr_t page = start;
  for (; page + kLargePageBytes <= end && !stopped; page += kLargePageBytes) {
    if (!staging.Exchange(reinterpret_cast<void*>(page), page - start)) break;
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
