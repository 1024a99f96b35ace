// Finds stop strings in text that arrives in pieces, however they are split, and holds back the
// text that may still become part of one: the longest ending that begins a stop string, so less
// than the longest of them. A piece costs its own and the held bytes times the number of stop
// strings, which is meant for tens of strings of a hundred bytes. One per sequence; not
// thread-safe.
#ifndef HOCKET_RUNTIME_TEXT_STOP_MATCHER_H_
#define HOCKET_RUNTIME_TEXT_STOP_MATCHER_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hocket {

class StopMatcher {
 public:
  // Stop strings must be non-empty. With `include_stop` the matched string stays in the text.
  StopMatcher(std::vector<std::string> stops, bool include_stop);

  struct Piece {
    std::string text;                 // Released by this call; always whole UTF-8 characters when
                                      // the input and the stop strings are.
    std::optional<std::string> stop;  // The string that matched: the one that ends first, and of
                                      // those the one that starts first. Text after it is dropped.
  };
  // After a match nothing more may be appended.
  Piece Append(std::string_view text);

  // Releases what is held back: generation ended for another reason.
  std::string Finish();

 private:
  std::vector<std::string> stops_;
  bool include_stop_;
  std::string held_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_TEXT_STOP_MATCHER_H_
