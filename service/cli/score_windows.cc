#include "service/cli/score_windows.h"

#include <algorithm>

namespace hocket {

std::vector<ScoreWindow> ScoreWindows(int64_t tokens, int64_t window, int64_t overlap) {
  std::vector<ScoreWindow> windows;
  int64_t counted = 1;
  while (counted < tokens) {
    const int64_t begin = windows.empty() ? 0 : counted - overlap;
    const int64_t end = std::min(tokens, begin + window);
    windows.push_back({begin, end, counted});
    counted = end;
  }
  return windows;
}

}  // namespace hocket
