// What runtime/text/stop_matcher.h promises, said over a whole text instead of its pieces. Pure.
#ifndef HOCKET_TESTS_FUZZ_STOP_REFERENCE_H_
#define HOCKET_TESTS_FUZZ_STOP_REFERENCE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hocket::fuzz {

struct StoppedText {
  std::string text;
  std::optional<std::string> stop;
  bool operator==(const StoppedText&) const = default;
};

// Of the stop strings the one that ends first, and of those the longest.
inline StoppedText StopReference(const std::vector<std::string>& stops, bool include_stop,
                                 std::string_view text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    const std::string* longest = nullptr;
    for (const std::string& stop : stops) {
      const bool longer = longest == nullptr || stop.size() > longest->size();
      if (longer && text.substr(0, end).ends_with(stop)) longest = &stop;
    }
    if (longest == nullptr) continue;
    return {std::string(text.substr(0, include_stop ? end : end - longest->size())), *longest};
  }
  return {std::string(text), std::nullopt};
}

}  // namespace hocket::fuzz

#endif  // HOCKET_TESTS_FUZZ_STOP_REFERENCE_H_
