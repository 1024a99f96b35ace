// Finds the end of the first sentence in text that arrives in pieces, however they are split: one
// of . ! ? with any closing quotes and brackets, before a space; or a full-width form (。 ！ ？ ｡),
// before anything. A dot does not end a sentence within a number or word ("3.14", "e.g."), after a
// common abbreviation or a single letter ("Dr.", "J."), after a number that begins a line ("1."),
// or next to another dot ("..."). One per sequence; not thread-safe.
#ifndef HOCKET_RUNTIME_TEXT_SENTENCE_END_H_
#define HOCKET_RUNTIME_TEXT_SENTENCE_END_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace hocket {

class SentenceEnd {
 public:
  // Looks at more text, in whole characters. Where it shows that a sentence has ended: how many
  // bytes of it still belong to the sentence (it may have ended with the text before). Else npos.
  size_t Append(std::string_view text);

 private:
  enum class After : char { kText, kMark, kWideMark };

  bool EndsBefore(char32_t next);
  void Take(char32_t next);
  bool DotIsPartOfWord() const;

  After after_ = After::kText;  // A mark, perhaps with closing quotes after it?
  bool dot_ = false;            // The mark is one dot.
  std::u32string word_;         // Since the last space, without the mark; its end if it is long.
  bool begins_line_ = true;     // Nothing but spaces came before the word on its line.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_TEXT_SENTENCE_END_H_
