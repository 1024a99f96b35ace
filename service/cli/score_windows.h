// Cuts a long run of tokens into windows that fit the context, so that each token but the first is
// counted once. Pure; any thread.
#ifndef HOCKET_SERVICE_CLI_SCORE_WINDOWS_H_
#define HOCKET_SERVICE_CLI_SCORE_WINDOWS_H_

#include <cstdint>
#include <vector>

namespace hocket {

struct ScoreWindow {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t count_from = 0;  // Positions count_from .. end - 1 are counted; those before are context.
  bool operator==(const ScoreWindow&) const = default;
};

// Windows of `window` tokens over [0, tokens), each but the first beginning `overlap` tokens before
// what it counts. 1 <= overlap < window. The first counts from position 1: position 0 has no score.
std::vector<ScoreWindow> ScoreWindows(int64_t tokens, int64_t window, int64_t overlap);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_SCORE_WINDOWS_H_
