#include "runtime/repetition_detector.h"

namespace hocket {

RepetitionDetector::RepetitionDetector(int32_t max_pattern_tokens, int32_t min_repeats)
    : min_repeats_(static_cast<size_t>(min_repeats)),
      last_(static_cast<size_t>(max_pattern_tokens)),
      agreed_(static_cast<size_t>(max_pattern_tokens)) {}

bool RepetitionDetector::Append(TokenId token) {
  const size_t ring = last_.size();
  bool repeats = false;
  for (size_t pattern = 1; pattern <= ring && pattern <= count_; ++pattern) {
    size_t& agreed = agreed_[pattern - 1];
    agreed = last_[(count_ - pattern) % ring] == token ? agreed + 1 : 0;
    repeats = repeats || agreed >= (min_repeats_ - 1) * pattern;
  }
  last_[count_++ % ring] = token;
  return repeats;
}

}  // namespace hocket
