#include "service/left_calls.h"

namespace hocket {

void LeftCalls::Open(const std::string& peer) {
  std::lock_guard lock(mutex_);
  calls_[peer] = 0;
}

void LeftCalls::Close(const std::string& peer) {
  std::lock_guard lock(mutex_);
  calls_.erase(peer);
}

void LeftCalls::Count(const std::string& peer) {
  std::lock_guard lock(mutex_);
  const auto found = calls_.find(peer);
  if (found != calls_.end()) ++found->second;
}

int64_t LeftCalls::Of(const std::string& peer) const {
  std::lock_guard lock(mutex_);
  const auto found = calls_.find(peer);
  return found == calls_.end() ? 0 : found->second;
}

}  // namespace hocket
