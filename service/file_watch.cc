#include "service/file_watch.h"

#include <sys/stat.h>

#include <utility>

namespace hocket {
namespace {

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

void FileWatch::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void FileWatch::Add(std::vector<std::string> paths, std::function<void()> changed) {
  Look look = LookAt(paths);
  groups_.push_back({std::move(paths), std::move(changed), look, look});
}

void FileWatch::Start(std::function<void()> looked) {
  looked_ = std::move(looked);
  if (!groups_.empty()) thread_ = std::thread([this] { Run(); });
}

void FileWatch::ReloadAll() {
  {
    std::lock_guard lock(mutex_);
    reload_all_ = true;
  }
  wake_.notify_all();
}

FileWatch::Look FileWatch::LookAt(const std::vector<std::string>& paths) {
  Look look;
  for (const std::string& path : paths) {
    struct stat status;
    if (stat(path.c_str(), &status) != 0) {
      look.push_back(std::nullopt);
      continue;
    }
    look.push_back(Identity{.device = status.st_dev,
                            .inode = status.st_ino,
                            .bytes = status.st_size,
                            .modified_ns = Nanoseconds(status.st_mtim),
                            .changed_ns = Nanoseconds(status.st_ctim)});
  }
  return look;
}

void FileWatch::Run() {
  while (true) {
    bool all = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, absl::ToChronoNanoseconds(interval_),
                     [this] { return stop_ || reload_all_; });
      if (stop_) return;
      all = std::exchange(reload_all_, false);
    }
    for (Group& group : groups_) {
      Look now = LookAt(group.paths);
      const bool settled = now == group.seen;
      const bool changed = now != group.told;
      group.seen = now;
      if (!all && !(settled && changed)) continue;
      // As it was before the files are read: what changes while they are is seen the next time.
      group.told = std::move(now);
      group.changed();
    }
    if (looked_ != nullptr) looked_();
  }
}

}  // namespace hocket
