// Beam search, slow and plain: whole lines of tokens, the whole vocabulary, full sorts. It follows
// transformers' _beam_search step by step, with minus infinity where that has -1e9. For tests.
#ifndef HOCKET_TESTS_RUNTIME_REFERENCE_BEAMS_H_
#define HOCKET_TESTS_RUNTIME_REFERENCE_BEAMS_H_

#include <functional>
#include <vector>

#include "runtime/generation_spec.h"

namespace hocket {

struct BeamTask {
  BeamSettings settings;
  int32_t max_new_tokens = 10;
  int32_t stop_tokens = 0;  // How many tokens end a text; `ends` says which.
  // Log-probabilities of every token after these generated ones; -inf for those that cannot come.
  std::function<std::vector<float>(const std::vector<TokenId>& tokens)> next;
  // Whether a text of these tokens, all but the last of which did not end it, is at its end.
  std::function<bool(const std::vector<TokenId>& tokens)> ends;
};

struct BeamLine {
  std::vector<TokenId> tokens;
  double logprob = 0;
  double score = 0;  // Of those that ended.
};

struct ReferenceBeams {
  std::vector<std::vector<BeamLine>> running;  // After each step, best first.
  std::vector<BeamLine> finished;              // At the end, best first.
};

ReferenceBeams FindBeams(const BeamTask& task);

}  // namespace hocket

#endif  // HOCKET_TESTS_RUNTIME_REFERENCE_BEAMS_H_
