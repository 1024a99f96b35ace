#include "runtime/text/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace hocket {
namespace {

// How many bytes at the end of `text` could be the beginning of `stop` (all of it excluded).
size_t OverlapBytes(std::string_view text, std::string_view stop) {
  for (size_t bytes = std::min(text.size(), stop.size() - 1); bytes > 0; --bytes) {
    if (text.ends_with(stop.substr(0, bytes))) return bytes;
  }
  return 0;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops, bool include_stop)
    : stops_(std::move(stops)), include_stop_(include_stop) {}

StopMatcher::Piece StopMatcher::Append(std::string_view text) {
  held_ += text;

  // Nothing held was a match before, so each stop's first occurrence is the one that ends first.
  const std::string* match = nullptr;
  size_t match_begin = 0;
  size_t match_end = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t begin = held_.find(stop);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stop.size();
    if (end < match_end || (end == match_end && begin < match_begin)) {
      match = &stop;
      match_begin = begin;
      match_end = end;
    }
  }
  if (match != nullptr) {
    Piece piece{held_.substr(0, include_stop_ ? match_end : match_begin), *match};
    held_.clear();
    return piece;
  }

  size_t hold_bytes = 0;
  for (const std::string& stop : stops_) {
    hold_bytes = std::max(hold_bytes, OverlapBytes(held_, stop));
  }
  Piece piece{held_.substr(0, held_.size() - hold_bytes), std::nullopt};
  held_.erase(0, held_.size() - hold_bytes);
  return piece;
}

std::string StopMatcher::Finish() { return std::exchange(held_, {}); }

}  // namespace hocket
