// The requests that the server holds, by tenant and id: from their arrival, while they are still
// being tokenized, to their end, and for a while after it where a client may come back. Makes ids
// unique, lets Cancel and ListRequests find requests, and bounds what is kept for nobody yet. Any
// thread may call it.
#ifndef HOCKET_SERVICE_SESSION_REGISTRY_H_
#define HOCKET_SERVICE_SESSION_REGISTRY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "service/delivery_thread.h"
#include "service/session.h"
#include "service/session_settings.h"
#include "service/write_watch.h"

namespace hocket {

class SessionRegistry {
 public:
  // `delivery` does what is due at a time. It is not used before a session is held, nor after its
  // own destruction.
  SessionRegistry(const SessionSettings& settings, DeliveryThread* delivery);
  SessionRegistry(const SessionRegistry&) = delete;
  SessionRegistry& operator=(const SessionRegistry&) = delete;

  // The session that is held under this key, else the one that `make` makes, from now on held. True
  // when it was made.
  std::pair<std::shared_ptr<Session>, bool> FindOrAdd(
      const SessionKey& key, const std::function<std::shared_ptr<Session>()>& make);

  // False when no such request is held, or it has ended.
  bool Cancel(const SessionKey& key);

  std::vector<std::shared_ptr<Session>> All() const;

  // Of sessions. From Retain on, a session is let go when its time or the room for all is over, and
  // is told so. Both are false when it is not to be, or was not, kept so.
  bool Retain(const std::shared_ptr<Session>& session, int64_t bytes);
  bool Unretain(const Session& session);
  void Remove(const Session& session);

  void SetSettings(const SessionSettings& settings);  // Must be valid. For what comes from now on.
  bool retains() const { return settings().retain > absl::ZeroDuration(); }
  int64_t max_session_bytes() const;  // A request that has more is not kept for who comes back.
  WriteWatch& writes() { return writes_; }

  // For metrics.
  struct Retained {
    int64_t sessions = 0;
    int64_t bytes = 0;
    int64_t expired = 0;  // Let go because their time was over, ever.
    int64_t evicted = 0;  // Or for want of room.
  };
  Retained retained() const;

  // Nobody who watches is to be told any more.
  void Drain() { draining_ = true; }
  bool draining() const { return draining_; }

 private:
  struct Kept {
    std::shared_ptr<Session> session;
    int64_t bytes = 0;
    absl::Time until;
  };
  struct Held {
    std::shared_ptr<Session> session;
    std::optional<std::list<Kept>::iterator> kept;
  };
  struct KeyHash {
    size_t operator()(const SessionKey& key) const;
  };

  void Forget(std::list<Kept>::iterator kept);  // With mutex_ held.
  void SweepLater();                            // With mutex_ held.
  void Sweep();

  SessionSettings settings() const;

  mutable std::mutex settings_mutex_;  // Taken last.
  SessionSettings settings_;           // Guarded by settings_mutex_.
  DeliveryThread* const delivery_;
  WriteWatch writes_;
  std::atomic<bool> draining_ = false;

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::unordered_map<SessionKey, Held, KeyHash> held_;
  std::list<Kept> kept_;  // The oldest first.
  Retained retained_;
  bool sweeps_ = false;  // One is to come.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_SESSION_REGISTRY_H_
