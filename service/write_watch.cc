#include "service/write_watch.h"

#include <vector>

namespace hocket {

void WriteWatch::Add(const std::shared_ptr<WatchedWriter>& writer) {
  std::lock_guard lock(mutex_);
  writers_.emplace(writer.get(), writer);
}

void WriteWatch::Remove(const WatchedWriter* writer) {
  std::lock_guard lock(mutex_);
  writers_.erase(writer);
}

void WriteWatch::EndThoseSince(absl::Time slow, absl::Time lost) {
  std::vector<std::shared_ptr<WatchedWriter>> ended;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [address, writer] : writers_) {
      std::shared_ptr<WatchedWriter> held = writer.lock();
      if (held != nullptr && held->WaitsSince() <= slow) ended.push_back(std::move(held));
    }
  }
  // Not under the lock: whoever is ended may be removed at once.
  for (const std::shared_ptr<WatchedWriter>& writer : ended) {
    writer->EndSlowReader(/*for_good=*/writer->WaitsSince() <= lost);
  }
}

bool WriteWatch::empty() const {
  std::lock_guard lock(mutex_);
  return writers_.empty();
}

}  // namespace hocket
