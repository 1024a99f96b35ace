#include "service/health_watch.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

constexpr char kServer[] = "";  // As grpc.health.v1 has it.
constexpr char kService[] = "hocket.v1.Hocket";
constexpr char kLive[] = "live";
constexpr char kReady[] = "ready";

}  // namespace

HealthWatch::HealthWatch(const HealthSettings& settings, std::vector<WatchedModel> models,
                         Report report, std::function<void()> each_period,
                         std::function<absl::Time()> clock)
    : report_(std::move(report)), each_period_(std::move(each_period)), clock_(std::move(clock)) {
  for (WatchedModel& model : models) {
    const std::string name = model.name;
    models_.push_back({std::move(model), ModelHealth(name, settings)});
  }
}

HealthWatch::~HealthWatch() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void HealthWatch::Start() {
  thread_ = std::thread([this] { Run(); });
}

void HealthWatch::Run() {
  std::unique_lock lock(mutex_);
  while (!closing_) {
    LookLocked();
    lock.unlock();
    if (each_period_ != nullptr) each_period_();
    lock.lock();
    wake_.wait_for(lock, absl::ToChronoMilliseconds(kPeriod), [this] { return closing_; });
  }
}

void HealthWatch::Look() {
  std::lock_guard lock(mutex_);
  LookLocked();
}

void HealthWatch::Drain() {
  std::lock_guard lock(mutex_);
  draining_ = true;
  LookLocked();
}

absl::Status HealthWatch::Live() {
  std::lock_guard lock(mutex_);
  LookLocked();
  return LiveLocked();
}

absl::Status HealthWatch::Ready() {
  std::lock_guard lock(mutex_);
  LookLocked();
  return ReadyLocked();
}

void HealthWatch::LookLocked() {
  const absl::Time now = clock_();
  for (Watched& watched : models_) {
    watched.health.Judge(watched.model.signs(), now);
    const bool live = watched.health.live().ok();
    const bool ready = watched.health.ready().ok() && !draining_;
    if (watched.model.told != nullptr) watched.model.told(live, ready);
    Tell(absl::StrCat(kService, "/", watched.health.name()), live && !draining_);
    Tell(absl::StrCat(kReady, "/", watched.health.name()), ready);
  }
  const bool live = LiveLocked().ok();
  Tell(kLive, live);
  Tell(kServer, live && !draining_);
  Tell(kService, live && !draining_);
  Tell(kReady, ReadyLocked().ok());
}

void HealthWatch::Tell(const std::string& service, bool serving) {
  const auto [told, is_new] = told_.emplace(service, serving);
  if (!is_new && std::exchange(told->second, serving) == serving) return;
  report_(service, serving);
}

absl::Status HealthWatch::LiveLocked() const {
  for (const Watched& watched : models_) {
    if (!watched.health.live().ok()) return watched.health.live();
  }
  return absl::OkStatus();
}

absl::Status HealthWatch::ReadyLocked() const {
  if (draining_) return absl::UnavailableError("the server drains");
  for (const Watched& watched : models_) {
    if (!watched.health.ready().ok()) return watched.health.ready();
  }
  return absl::OkStatus();
}

}  // namespace hocket
