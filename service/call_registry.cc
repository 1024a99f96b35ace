#include "service/call_registry.h"

#include <utility>

#include "service/call.h"

namespace hocket {

bool CallRegistry::Add(const std::string& request_id, std::weak_ptr<Call> call) {
  std::lock_guard lock(mutex_);
  return calls_.emplace(request_id, std::move(call)).second;
}

void CallRegistry::Remove(const std::string& request_id) {
  std::lock_guard lock(mutex_);
  calls_.erase(request_id);
}

bool CallRegistry::Cancel(const std::string& request_id) {
  std::shared_ptr<Call> call;
  {
    std::lock_guard lock(mutex_);
    const auto found = calls_.find(request_id);
    if (found != calls_.end()) call = found->second.lock();
  }
  // Not under the lock: a call that ends removes itself while it holds its own.
  return call != nullptr && call->Cancel();
}

}  // namespace hocket
