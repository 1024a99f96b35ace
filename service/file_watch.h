// Calls back when files change. A thread of its own looks at them by path once a second: names that
// are links, and files that are replaced by renaming (as Kubernetes and certificate renewers do),
// are seen as well as files that are written. Add before Start; the rest on any thread.
#ifndef HOCKET_SERVICE_FILE_WATCH_H_
#define HOCKET_SERVICE_FILE_WATCH_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace hocket {

class FileWatch {
 public:
  explicit FileWatch(absl::Duration interval = absl::Seconds(1)) : interval_(interval) {}
  ~FileWatch() { Stop(); }
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // `changed` is called on the watch's thread once one of the files is another than when Add was
  // called, or than before the last call, and two looks in a row have found all of them the same:
  // so that files which are written one after another are mostly read together. So call Add before
  // the files are read the first time.
  void Add(std::vector<std::string> paths, std::function<void()> changed);

  // `looked`, if there is one, is called on the watch's thread after each look.
  void Start(std::function<void()> looked = nullptr);

  // Calls back no more from then on. On the thread that called Start.
  void Stop();

  // Calls back for all, changed or not, soon.
  void ReloadAll();

 private:
  // Of a file that is there; files that differ in none of this are taken for the same.
  struct Identity {
    uint64_t device = 0;
    uint64_t inode = 0;
    int64_t bytes = 0;
    int64_t modified_ns = 0;
    int64_t changed_ns = 0;
    bool operator==(const Identity&) const = default;
  };
  using Look = std::vector<std::optional<Identity>>;
  struct Group {
    std::vector<std::string> paths;
    std::function<void()> changed;
    Look told;  // Before the last call.
    Look seen;  // The last.
  };

  static Look LookAt(const std::vector<std::string>& paths);
  void Run();

  const absl::Duration interval_;
  std::vector<Group> groups_;     // After Start the thread's own,
  std::function<void()> looked_;  // as is this.
  std::mutex mutex_;
  std::condition_variable wake_;
  bool reload_all_ = false;  // Guarded by mutex_.
  bool stop_ = false;        // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_FILE_WATCH_H_
