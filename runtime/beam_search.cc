#include "runtime/beam_search.h"

#include <algorithm>
#include <cmath>

namespace hocket {
namespace {

bool Before(const BeamSearch::Candidate& a, const BeamSearch::Candidate& b) {
  if (a.total_logprob != b.total_logprob) return a.total_logprob > b.total_logprob;
  return a.beam != b.beam ? a.beam < b.beam : a.token < b.token;
}

}  // namespace

BeamSearch::BeamSearch(const BeamSettings& settings, int32_t stop_tokens, int32_t max_new_tokens)
    : settings_(settings),
      stop_tokens_(stop_tokens),
      max_new_tokens_(max_new_tokens),
      running_({{.slot = 0, .total_logprob = 0}}),
      slots_(settings.width) {}

// A beam has at most `width` of the first `width` candidates, and at most `width` that go on, with
// its stop tokens between them.
int32_t BeamSearch::tokens_per_beam() const {
  return settings_.width + std::max(settings_.width, stop_tokens_);
}

bool BeamSearch::Wants(int32_t slot) const {
  return std::any_of(running_.begin(), running_.end(),
                     [&](const Running& beam) { return beam.slot == slot; });
}

void BeamSearch::Advance(std::span<const std::vector<TokenLogprob>> likeliest, Ends ends) {
  Rank(likeliest);
  ++generated_;
  const auto width = static_cast<size_t>(settings_.width);
  std::vector<int32_t> children;
  for (size_t i = 0; i < considered_.size(); ++i) {
    if (i >= width && children.size() == width) break;
    const auto rank = static_cast<int32_t>(i);
    if (!ends(rank, considered_[i])) {
      children.push_back(rank);
    } else if (i < width) {
      Keep(rank);
    }
  }
  PlaceChildren(children);
  const bool full = finished_.size() == width;
  const bool at_once = settings_.early_stopping == BeamSettings::EarlyStopping::kAlways;
  over_ = running_.empty() || (full && (at_once || !MayImprove()));
}

void BeamSearch::Rank(std::span<const std::vector<TokenLogprob>> likeliest) {
  considered_.clear();
  for (size_t beam = 0; beam < running_.size(); ++beam) {
    const auto& [slot, total] = running_[beam];
    int32_t choice = 0;
    for (const TokenLogprob& next : likeliest[slot]) {
      const double sum = total + static_cast<double>(next.logprob);
      if (std::isfinite(sum)) {
        considered_.push_back({slot, choice, next.token, sum, static_cast<int32_t>(beam)});
      }
      ++choice;
    }
  }
  const size_t most = size_t{1} * settings_.width * std::max(2, 1 + stop_tokens_);
  const size_t count = std::min(most, considered_.size());
  std::partial_sort(considered_.begin(), considered_.begin() + count, considered_.end(), Before);
  considered_.resize(count);
}

void BeamSearch::Keep(int32_t rank) {
  const double total = considered_[rank].total_logprob;
  const Finished candidate = {generated_, rank, total, Score(total, generated_)};
  const auto place = std::upper_bound(  // Behind its equals, which were there before.
      finished_.begin(), finished_.end(), candidate,
      [](const Finished& a, const Finished& b) { return a.score > b.score; });
  finished_.insert(place, candidate);
  if (finished_.size() > slots_.size()) finished_.pop_back();
}

// A beam's first child stays in its slot, so that nothing is copied for it; the others take the
// free slots in order.
void BeamSearch::PlaceChildren(std::span<const int32_t> children) {
  const bool first = generated_ == 1;  // All slots hold the prompt: each child has one ready.
  std::fill(slots_.begin(), slots_.end(), Slot());
  running_.assign(children.size(), Running());
  const auto place = [&](size_t child, int32_t slot, int32_t parent) {
    const Candidate& candidate = considered_[children[child]];
    slots_[slot] = {true, parent, candidate.token, children[child]};
    running_[child] = {slot, candidate.total_logprob};
  };
  std::vector<size_t> homeless;
  for (size_t child = 0; child < children.size(); ++child) {
    const int32_t parent = considered_[children[child]].slot;
    if (slots_[parent].runs) {
      homeless.push_back(child);
    } else {
      place(child, parent, parent);
    }
  }
  int32_t free = 0;
  for (const size_t child : homeless) {
    while (slots_[free].runs) ++free;
    place(child, free, first ? free : considered_[children[child]].slot);
  }
  for (size_t slot = 0; slot < slots_.size() && !children.empty(); ++slot) {
    if (slots_[slot].runs) continue;  // The others go on with what they have, and any token.
    slots_[slot] = {false, static_cast<int32_t>(slot), considered_[children[0]].token, 0};
  }
}

bool BeamSearch::MayImprove() const {
  const bool never = settings_.early_stopping == BeamSettings::EarlyStopping::kNever;
  const int32_t tokens = never && settings_.length_penalty > 0 ? max_new_tokens_ : generated_;
  return Score(running_[0].total_logprob, tokens) > finished_.back().score;
}

double BeamSearch::Score(double total_logprob, int32_t tokens) const {
  return total_logprob / std::pow(static_cast<double>(tokens), double{settings_.length_penalty});
}

}  // namespace hocket
