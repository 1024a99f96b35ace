// Ends calls whose clients do not take what is sent to them, so that they hold no memory. Any
// thread may call it.
#ifndef HOCKET_SERVICE_WRITE_WATCH_H_
#define HOCKET_SERVICE_WRITE_WATCH_H_

#include <memory>
#include <mutex>
#include <unordered_map>

#include "absl/time/time.h"

namespace hocket {

class WatchedWriter {
 public:
  virtual ~WatchedWriter() = default;

  // Since when its client has had something to take; infinite future: not now. Any thread.
  virtual absl::Time WaitsSince() const = 0;

  // The client took too long: nothing more is to be sent to it than why. `for_good`: it is not to
  // be waited for even so. One thread; may come more than once.
  virtual void EndSlowReader(bool for_good) = 0;
};

class WriteWatch {
 public:
  void Add(const std::shared_ptr<WatchedWriter>& writer);
  void Remove(const WatchedWriter* writer);

  // Ends those that have waited since `slow` or before, for good since `lost` or before.
  void EndThoseSince(absl::Time slow, absl::Time lost);
  bool empty() const;

 private:
  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::unordered_map<const WatchedWriter*, std::weak_ptr<WatchedWriter>> writers_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_WRITE_WATCH_H_
