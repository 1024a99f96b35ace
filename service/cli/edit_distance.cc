#include "service/cli/edit_distance.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace hocket {

int EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::optional<std::string> Nearest(absl::string_view word,
                                   std::span<const std::string> candidates) {
  std::optional<std::string> nearest;
  int fewest = std::max(2, static_cast<int>(word.size()) / 3) + 1;
  for (const std::string& candidate : candidates) {
    const int edits = EditDistance(word, candidate);
    if (edits < fewest && edits < static_cast<int>(candidate.size())) {
      fewest = edits;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace hocket
