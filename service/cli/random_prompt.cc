#include "service/cli/random_prompt.h"

#include <algorithm>
#include <random>

namespace hocket {

std::vector<TokenId> RandomPrompt(const ModelInfo& info, int32_t tokens, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<TokenId> prompt;
  const auto& ends = info.end_of_text_tokens;
  while (static_cast<int32_t>(prompt.size()) < tokens) {
    // Not std::uniform_int_distribution, which differs between standard libraries.
    const auto token = static_cast<TokenId>(random() % static_cast<uint64_t>(info.vocabulary_size));
    if (std::find(ends.begin(), ends.end(), token) == ends.end()) prompt.push_back(token);
  }
  return prompt;
}

}  // namespace hocket
