// Guesses what a mistyped word was meant to be. Pure; any thread.
#ifndef HOCKET_SERVICE_CLI_EDIT_DISTANCE_H_
#define HOCKET_SERVICE_CLI_EDIT_DISTANCE_H_

#include <optional>
#include <span>
#include <string>

#include "absl/strings/string_view.h"

namespace hocket {

// Insertions, deletions and replacements (Levenshtein) that turn `a` into `b`.
int EditDistance(absl::string_view a, absl::string_view b);

// The candidate that is fewest edits from `word`, when those are at most two or a third of its
// length.
std::optional<std::string> Nearest(absl::string_view word, std::span<const std::string> candidates);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_EDIT_DISTANCE_H_
