// Notices when a sequence's last tokens are one pattern, repeated. One per sequence; engine thread
// only.
#ifndef HOCKET_RUNTIME_REPETITION_DETECTOR_H_
#define HOCKET_RUNTIME_REPETITION_DETECTOR_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "scheduler/step.h"

namespace hocket {

class RepetitionDetector {
 public:
  // Patterns of 1 to `max_pattern_tokens` tokens, `min_repeats` >= 2 times in a row.
  RepetitionDetector(int32_t max_pattern_tokens, int32_t min_repeats);

  // Takes the next token; whether the tokens now end in such a repetition.
  bool Append(TokenId token);

 private:
  const size_t min_repeats_;
  std::vector<TokenId> last_;   // [max_pattern_tokens], a ring.
  std::vector<size_t> agreed_;  // [max_pattern_tokens], how many last tokens equal the one so far
                                // (index + 1) before them.
  size_t count_ = 0;            // Tokens taken.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_REPETITION_DETECTOR_H_
