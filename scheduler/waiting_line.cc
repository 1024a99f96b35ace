#include "scheduler/waiting_line.h"

#include <algorithm>

#include "scheduler/invariant.h"
#include "scheduler/request_state.h"

namespace hocket {

WaitingLine::WaitingLine() = default;
WaitingLine::~WaitingLine() = default;

WaitingLine::Line& WaitingLine::LineOf(const RequestState& state) {
  return lines_[static_cast<size_t>(state.request().priority)];
}

const WaitingLine::Line& WaitingLine::LineOf(const RequestState& state) const {
  return lines_[static_cast<size_t>(state.request().priority)];
}

WaitingLine::DeadlineKey WaitingLine::KeyOf(const RequestState& state) {
  return {std::min(state.request().deadline, state.submitted() + kDeadlinePatience), state.id()};
}

WaitingLine::TenantKey WaitingLine::KeyOf(Tenant& tenant) {
  return {tenant.served, tenant.waiting.begin()->first, &tenant};
}

double WaitingLine::LeastServed(const Line& line) {
  return line.backlogged.empty() ? line.floor : std::get<0>(*line.backlogged.begin());
}

void WaitingLine::Hold(RequestState& state) {
  Line& line = LineOf(state);
  if (line.tenants.size() >= line.sweep_at) ForgetIdle(line);
  auto& tenant = line.tenants[state.request().tenant];
  if (tenant == nullptr) tenant = std::make_unique<Tenant>();
  if (tenant->held++ == 0) {
    tenant->weight = state.request().tenant_weight;
    tenant->served = std::max(tenant->served, LeastServed(line));
  }
  state.tenant = tenant.get();
  state.tenant_clock = tenant->blocked;
  state.line_clock = blocked_;
}

void WaitingLine::Release(RequestState& state) {
  Line& line = LineOf(state);
  if (state.tenant->unsettled > 0) Settle();
  const bool idle = --state.tenant->held == 0;
  // Who comes back is lifted to the least served, so a counter below that need not be remembered.
  if (idle && state.tenant->served <= LeastServed(line)) line.tenants.erase(state.request().tenant);
  state.tenant = nullptr;
}

void WaitingLine::ForgetIdle(Line& line) {
  const double least = LeastServed(line);
  std::erase_if(line.tenants, [&](const auto& named) {
    return named.second->held == 0 && named.second->served <= least;
  });
  constexpr size_t kMaxRemembered = 1 << 16;
  if (line.tenants.size() > kMaxRemembered) {
    std::erase_if(line.tenants, [](const auto& named) { return named.second->held == 0; });
  }
  line.sweep_at = std::max<size_t>(64, 2 * line.tenants.size());
}

void WaitingLine::Wait(RequestState& state) {
  Invariant(!state.waits, "who waits does not join the line again");
  Line& line = LineOf(state);
  state.waits = true;
  ++waiting_;
  if (state.started()) {
    ++preempted_;
    line.preempted.emplace(state.admission, &state);
    return;
  }
  Tenant& tenant = *state.tenant;
  if (tenant.waiting.empty()) {
    tenant.served = std::max(tenant.served, LeastServed(line));
  } else {
    line.backlogged.erase(KeyOf(tenant));
  }
  tenant.waiting.emplace(KeyOf(state), &state);
  tenant.waiting_tokens += state.prompt_tokens();
  line.backlogged.insert(KeyOf(tenant));
}

void WaitingLine::Leave(RequestState& state) {
  Invariant(state.waits, "only who waits leaves the line");
  Line& line = LineOf(state);
  line.floor = std::max(line.floor, LeastServed(line));
  state.waits = false;
  --waiting_;
  if (state.started()) {
    --preempted_;
    line.preempted.erase(state.admission);
    return;
  }
  Tenant& tenant = *state.tenant;
  line.backlogged.erase(KeyOf(tenant));
  tenant.waiting.erase(KeyOf(state));
  tenant.waiting_tokens -= state.prompt_tokens();
  if (!tenant.waiting.empty()) line.backlogged.insert(KeyOf(tenant));
}

RequestState* WaitingLine::First() const {
  for (const Line& line : lines_) {
    if (!line.preempted.empty()) return line.preempted.begin()->second;
    if (line.backlogged.empty()) continue;
    return std::get<Tenant*>(*line.backlogged.begin())->waiting.begin()->second;
  }
  return nullptr;
}

void WaitingLine::Charge(const RequestState& state, double virtual_tokens) {
  if (virtual_tokens <= 0) return;
  Tenant& tenant = *state.tenant;
  if (tenant.unsettled == 0) charged_.emplace_back(&LineOf(state), &tenant);
  tenant.unsettled += virtual_tokens / tenant.weight;
}

void WaitingLine::Settle() {
  for (const auto& [line, tenant] : charged_) {
    const bool backlogged = !tenant->waiting.empty();
    if (backlogged) line->backlogged.erase(KeyOf(*tenant));
    tenant->served += std::exchange(tenant->unsettled, 0);
    if (backlogged) line->backlogged.insert(KeyOf(*tenant));
  }
  charged_.clear();
}

void WaitingLine::CountBlocked(Obstacle obstacle, absl::Duration time) {
  RequestState* first = First();
  if (first == nullptr) return;
  blocked_ += time;
  WaitTimes& clock = first->tenant->blocked;
  switch (obstacle) {
    case Obstacle::kSlots:
      clock.slots += time;
      break;
    case Obstacle::kBlocks:
      clock.blocks += time;
      break;
    case Obstacle::kBudget:
      clock.budget += time;
      break;
  }
}

WaitTimes WaitingLine::WaitedBy(const RequestState& state) const {
  const WaitTimes& clock = state.tenant->blocked;
  WaitTimes waited;
  waited.slots = clock.slots - state.tenant_clock.slots;
  waited.blocks = clock.blocks - state.tenant_clock.blocks;
  waited.budget = clock.budget - state.tenant_clock.budget;
  waited.fairness = blocked_ - state.line_clock - waited.slots - waited.blocks - waited.budget;
  return waited;
}

double WaitingLine::Served(const RequestState& state) { return state.tenant->served; }

int64_t WaitingLine::TokensAhead(const RequestState& state) const {
  int64_t ahead = 0;
  for (size_t i = 0; i <= static_cast<size_t>(state.request().priority); ++i) {
    for (const auto& [admission, preempted] : lines_[i].preempted) {
      ahead += preempted->PendingTokens();
    }
    if (i < static_cast<size_t>(state.request().priority)) {
      for (const auto& [served, key, tenant] : lines_[i].backlogged) {
        ahead += tenant->waiting_tokens;
      }
    }
  }
  int64_t own = 0;
  for (const auto& [key, other] : state.tenant->waiting) {
    if (other == &state) break;
    own += other->prompt_tokens();
  }
  for (const auto& [served, key, tenant] : LineOf(state).backlogged) {
    if (tenant != state.tenant) ahead += std::min(tenant->waiting_tokens, own);
  }
  return ahead + own;
}

void WaitingLine::CheckInvariants() const {
  int32_t waiting = 0;
  int32_t preempted = 0;
  for (const Line& line : lines_) {
    preempted += static_cast<int32_t>(line.preempted.size());
    for (const auto& [admission, state] : line.preempted) {
      Invariant(state->waits && state->started() && state->admission == admission,
                "a preempted request waits by its admission");
    }
    size_t backlogged = 0;
    for (const auto& [name, tenant] : line.tenants) {
      waiting += static_cast<int32_t>(tenant->waiting.size());
      int64_t tokens = 0;
      for (const auto& [key, state] : tenant->waiting) {
        Invariant(state->waits && !state->started() && state->tenant == tenant.get(),
                  "a waiting request waits with its tenant");
        tokens += state->prompt_tokens();
      }
      Invariant(tokens == tenant->waiting_tokens, "waiting tokens are counted");
      if (tenant->waiting.empty()) continue;
      ++backlogged;
      Invariant(line.backlogged.contains(KeyOf(*tenant)), "who waits is in line by its counter");
    }
    Invariant(backlogged == line.backlogged.size(), "only who waits is in line");
  }
  Invariant(preempted == preempted_ && waiting + preempted == waiting_, "the waiting are counted");
}

}  // namespace hocket
