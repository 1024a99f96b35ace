#include "service/session_registry.h"

#include <algorithm>
#include <functional>

#include "absl/time/clock.h"

namespace hocket {
namespace {

// Of what is kept, at most this part may be one request's; a request may always have some.
constexpr int64_t kSessionsThatFit = 8;
constexpr int64_t kMinSessionBytes = 1 << 20;

// How late what is due may come.
constexpr absl::Duration kMinSweep = absl::Milliseconds(20);
constexpr absl::Duration kMaxSweep = absl::Seconds(1);

}  // namespace

size_t SessionRegistry::KeyHash::operator()(const SessionKey& key) const {
  const std::hash<std::string> hash;
  return hash(key.request_id) * 31 + hash(key.tenant);
}

SessionRegistry::SessionRegistry(const SessionSettings& settings, DeliveryThread* delivery)
    : settings_(settings), delivery_(delivery) {}

void SessionRegistry::SetSettings(const SessionSettings& settings) {
  std::lock_guard lock(settings_mutex_);
  settings_ = settings;
}

SessionSettings SessionRegistry::settings() const {
  std::lock_guard lock(settings_mutex_);
  return settings_;
}

int64_t SessionRegistry::max_session_bytes() const {
  return std::max(settings().retain_bytes / kSessionsThatFit, kMinSessionBytes);
}

std::pair<std::shared_ptr<Session>, bool> SessionRegistry::FindOrAdd(
    const SessionKey& key, const std::function<std::shared_ptr<Session>()>& make) {
  std::lock_guard lock(mutex_);
  const auto found = held_.find(key);
  if (found != held_.end()) return {found->second.session, false};
  std::shared_ptr<Session> session = make();
  held_.emplace(key, Held{.session = session, .kept = std::nullopt});
  SweepLater();
  return {std::move(session), true};
}

bool SessionRegistry::Cancel(const SessionKey& key) {
  std::shared_ptr<Session> session;
  {
    std::lock_guard lock(mutex_);
    const auto found = held_.find(key);
    if (found != held_.end()) session = found->second.session;
  }
  // Not under the lock: a session that ends comes here while it holds its own.
  return session != nullptr && session->Cancel();
}

std::vector<std::shared_ptr<Session>> SessionRegistry::All() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Session>> all;
  all.reserve(held_.size());
  for (const auto& [key, held] : held_) all.push_back(held.session);
  return all;
}

bool SessionRegistry::Retain(const std::shared_ptr<Session>& session, int64_t bytes) {
  if (!retains() || bytes > settings().retain_bytes) return false;
  std::lock_guard lock(mutex_);
  const auto found = held_.find(session->key());
  if (found == held_.end() || found->second.session != session) return false;
  if (found->second.kept) Forget(*found->second.kept);
  kept_.push_back({.session = session, .bytes = bytes, .until = absl::Now() + settings().retain});
  found->second.kept = std::prev(kept_.end());
  retained_.bytes += bytes;
  ++retained_.sessions;
  // Others are told by the sweep, since whoever calls holds its own lock.
  if (retained_.bytes > settings().retain_bytes) delivery_->RunAt(absl::Now(), [this] { Sweep(); });
  SweepLater();
  return true;
}

bool SessionRegistry::Unretain(const Session& session) {
  std::lock_guard lock(mutex_);
  const auto found = held_.find(session.key());
  if (found == held_.end() || found->second.session.get() != &session) return false;
  if (!found->second.kept) return false;
  Forget(*found->second.kept);
  found->second.kept.reset();
  return true;
}

void SessionRegistry::Remove(const Session& session) {
  std::shared_ptr<Session> last;  // Goes after the lock.
  std::lock_guard lock(mutex_);
  const auto found = held_.find(session.key());
  if (found == held_.end() || found->second.session.get() != &session) return;
  if (found->second.kept) Forget(*found->second.kept);
  last = std::move(found->second.session);
  held_.erase(found);
}

SessionRegistry::Retained SessionRegistry::retained() const {
  std::lock_guard lock(mutex_);
  return retained_;
}

void SessionRegistry::Forget(std::list<Kept>::iterator kept) {
  retained_.bytes -= kept->bytes;
  --retained_.sessions;
  kept_.erase(kept);
}

void SessionRegistry::SweepLater() {
  if (std::exchange(sweeps_, true)) return;
  const absl::Duration shortest =
      retains() ? std::min(settings().retain, settings().slow_reader) : settings().slow_reader;
  delivery_->RunAt(absl::Now() + std::clamp(shortest / 4, kMinSweep, kMaxSweep), [this] {
    {
      std::lock_guard lock(mutex_);
      sweeps_ = false;
    }
    Sweep();
  });
}

void SessionRegistry::Sweep() {
  const absl::Time now = absl::Now();
  const SessionSettings limits = settings();
  const absl::Time slow = now - limits.slow_reader;
  writes_.EndThoseSince(slow, slow - limits.slow_reader_grace);
  std::vector<std::shared_ptr<Session>> gone;
  {
    std::lock_guard lock(mutex_);
    while (!kept_.empty()) {
      const Kept& oldest = kept_.front();
      const bool expired = oldest.until <= now;
      if (!expired && retained_.bytes <= limits.retain_bytes) break;
      ++(expired ? retained_.expired : retained_.evicted);
      gone.push_back(oldest.session);
      held_.erase(gone.back()->key());
      Forget(kept_.begin());
    }
    if (!held_.empty() || !writes_.empty()) SweepLater();
  }
  for (const std::shared_ptr<Session>& session : gone) session->Released();
}

}  // namespace hocket
