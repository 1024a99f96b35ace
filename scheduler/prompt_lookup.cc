#include "scheduler/prompt_lookup.h"

#include <algorithm>

namespace hocket {
namespace {

// Slots of the table that a run may lie in. A bound, so that tokens chosen to collide cost no more
// time than others: the run that they push out is not found again. Other tokens hardly ever push
// one out of a table that is half full at most.
constexpr size_t kProbes = 32;
constexpr size_t kFirstSlots = 64;

constexpr double kUnknownCost = 0.25;
constexpr double kRateWeight = 1.0 / 8;  // Of the newest guess in the moving average.
constexpr double kLeastRate = 0.05;      // Few right guesses suffice to be believed again.
constexpr double kAllowance = 0.02;      // For each step, in steps.
constexpr double kMostAccount = 4;       // What a predictable text may lay by for the time after.
constexpr double kProbeAccount = 0.5;    // Below this, single guesses wait.

}  // namespace

size_t PromptLookup::HashAt(int32_t end) const {
  uint64_t hash = 0;
  for (int32_t i = end - kRunTokens; i < end; ++i) {
    hash = (hash ^ static_cast<uint32_t>(tokens_[i])) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return static_cast<size_t>(hash);
}

bool PromptLookup::SameRun(int32_t end, int32_t other) const {
  const auto last = tokens_.begin() + end;
  return std::equal(last - kRunTokens, last, tokens_.begin() + other - kRunTokens);
}

int32_t PromptLookup::Enter(int32_t end) {
  const size_t mask = latest_.size() - 1;
  const size_t first = HashAt(end) & mask;
  size_t oldest = first;
  for (size_t probe = 0; probe < kProbes; ++probe) {
    // Ever longer strides, so that runs do not queue up behind each other.
    const size_t place = (first + probe * (probe + 1) / 2) & mask;
    int32_t& slot = latest_[place];
    if (slot == 0) {
      slot = end;
      ++runs_;
      return 0;
    }
    if (SameRun(slot, end)) {
      const int32_t earlier = slot;
      slot = end;
      return earlier;
    }
    if (slot < latest_[oldest]) oldest = place;
  }
  latest_[oldest] = end;
  return 0;
}

void PromptLookup::Grow() {
  std::vector<int32_t> before(std::max(kFirstSlots, 2 * latest_.size()));
  before.swap(latest_);
  runs_ = 0;
  for (const int32_t end : before) {
    if (end != 0) Enter(end);
  }
}

void PromptLookup::Append(std::span<const TokenId> tokens) {
  for (const TokenId token : tokens) {
    tokens_.push_back(token);
    const auto end = static_cast<int32_t>(tokens_.size());
    if (end < kRunTokens) continue;
    if (2 * static_cast<size_t>(runs_ + 1) > latest_.size()) Grow();
    earlier_ = Enter(end);
  }
}

int32_t PromptLookup::Propose(int32_t most, std::vector<TokenId>& guesses) const {
  if (earlier_ == 0 || most <= 0) return 0;
  const int32_t period = tokens() - earlier_;
  for (int32_t i = 0; i < most; ++i) guesses.push_back(tokens_[earlier_ + i % period]);
  return most;
}

int32_t DraftControl::Wanted(int32_t most, double relative_cost) {
  guess_cost_ = relative_cost > 0 ? relative_cost : kUnknownCost;
  const auto affordable = static_cast<int32_t>(std::min(account_ / guess_cost_, 1e6));
  most = std::min(most, affordable);
  int32_t wanted = 0;
  double best_gain = 1;
  double tokens = 1;
  double chance = 1;  // That all guesses up to this one are right.
  for (int32_t k = 1; k <= most; ++k) {
    chance *= accept_rate_;
    tokens += chance;
    const double gain = tokens / (1 + k * guess_cost_);
    if (gain <= best_gain) break;  // It has one maximum: guesses are worth less and less.
    best_gain = gain;
    wanted = k;
  }
  if (wanted == 0 && most > 0 && account_ >= kProbeAccount) return 1;
  return wanted;
}

void DraftControl::Learn(int32_t proposed, int32_t accepted) {
  for (int32_t i = 0; i < accepted; ++i) accept_rate_ += (1 - accept_rate_) * kRateWeight;
  if (accepted < proposed) accept_rate_ += (0 - accept_rate_) * kRateWeight;
  accept_rate_ = std::max(accept_rate_, kLeastRate);
  account_ += kAllowance + accepted - proposed * guess_cost_;
  account_ = std::min(account_, kMostAccount);
}

}  // namespace hocket
