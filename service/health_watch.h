// Follows the engines and tells whoever asks whether the server lives and whether it is ready:
// gRPC's health service, which is told of each change, and the HTTP probes, which ask. A thread of
// its own looks every kPeriod. Any thread may call it.
//
// Several models: the server lives only if all engines do, since nothing but a restart gives back a
// stalled one's threads and memory; and it is ready only if all are, since who sends requests by
// these names does not choose by model. Who does asks by the model's own names.
#ifndef HOCKET_SERVICE_HEALTH_WATCH_H_
#define HOCKET_SERVICE_HEALTH_WATCH_H_

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "service/model_health.h"
#include "service/steady_clock.h"

namespace hocket {

struct WatchedModel {
  std::string name;
  std::function<EngineSigns()> signs;
  std::function<void(bool live, bool ready)> told = nullptr;  // After each look. May be null.
};

class HealthWatch {
 public:
  static constexpr absl::Duration kPeriod = absl::Milliseconds(500);

  // Hears of a service's first status and of each change, by one thread at a time.
  using Report = std::function<void(const std::string& service, bool serving)>;

  // `each_period` (may be null) is called by the thread beside looking.
  HealthWatch(const HealthSettings& settings, std::vector<WatchedModel> models, Report report,
              std::function<void()> each_period = nullptr,
              std::function<absl::Time()> clock = SteadyNow);
  ~HealthWatch();
  HealthWatch(const HealthWatch&) = delete;
  HealthWatch& operator=(const HealthWatch&) = delete;

  void Start();  // The thread. Once only; tests call Look themselves.

  void Look();   // Judges anew, and reports what changed.
  void Drain();  // From now on nothing is ready, and no service takes calls.

  // As of now. UNAVAILABLE with the reason otherwise.
  absl::Status Live();
  absl::Status Ready();

 private:
  struct Watched {
    WatchedModel model;
    ModelHealth health;
  };

  void Run();
  void LookLocked();
  void Tell(const std::string& service, bool serving);
  absl::Status LiveLocked() const;
  absl::Status ReadyLocked() const;

  const Report report_;
  const std::function<void()> each_period_;
  const std::function<absl::Time()> clock_;

  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_:
  std::vector<Watched> models_;
  std::map<std::string, bool> told_;  // By service.
  bool draining_ = false;
  bool closing_ = false;

  std::thread thread_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_HEALTH_WATCH_H_
