#include "runtime/text/sentence_end.h"

#include <algorithm>
#include <array>

namespace hocket {
namespace {

constexpr size_t kLongestWord = 32;

// Before a dot, in lower case.
constexpr std::array<std::u32string_view, 24> kAbbreviations = {
    U"mr",   U"mrs", U"ms",  U"dr",   U"prof", U"sr",     U"jr",  U"st",
    U"vs",   U"fig", U"ca",  U"cf",   U"al",   U"approx", U"inc", U"ltd",
    U"dept", U"est", U"vol", U"capt", U"lt",   U"sgt",    U"hon", U"rev"};

bool IsSpace(char32_t c) {
  return c == U' ' || (c >= U'\t' && c <= U'\r') || c == U'\u00a0' || c == U'\u3000' ||
         (c >= U'\u2000' && c <= U'\u200a') || c == U'\u2028' || c == U'\u2029';
}
bool IsMark(char32_t c) { return c == U'.' || c == U'!' || c == U'?'; }
bool IsWideMark(char32_t c) {
  return c == U'\u3002' || c == U'\uff01' || c == U'\uff1f' || c == U'\uff61';
}
bool IsClosing(char32_t c) {
  return c == U'"' || c == U'\'' || c == U')' || c == U']' || c == U'}' || c == U'*' || c == U'_' ||
         c == U'\u2019' || c == U'\u201d' || c == U'\u00bb' || c == U'\u300d' || c == U'\u300f' ||
         c == U'\uff09' || c == U'\u3011';
}
bool IsDigit(char32_t c) { return c >= U'0' && c <= U'9'; }
bool IsLetter(char32_t c) { return (c >= U'a' && c <= U'z') || c >= U'\u00c0'; }
char32_t Lower(char32_t c) { return c >= U'A' && c <= U'Z' ? c + 32 : c; }

// The next character of valid UTF-8; `at` moves behind it.
char32_t NextCharacter(std::string_view text, size_t& at) {
  const auto first = static_cast<unsigned char>(text[at++]);
  if (first < 0xC0) return first;
  const int more = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
  char32_t c = first & (0x3F >> more);
  for (int i = 0; i < more && at < text.size(); ++i) {
    c = c << 6 | (static_cast<unsigned char>(text[at++]) & 0x3F);
  }
  return c;
}

}  // namespace

size_t SentenceEnd::Append(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t before = at;
    const char32_t next = NextCharacter(text, at);
    if (EndsBefore(next)) return before;
    Take(next);
  }
  return std::string_view::npos;
}

bool SentenceEnd::EndsBefore(char32_t next) {
  if (after_ == After::kText || IsClosing(next) || IsWideMark(next)) return false;
  if (after_ == After::kWideMark) return !IsMark(next);
  return IsSpace(next) && !(dot_ && DotIsPartOfWord());
}

void SentenceEnd::Take(char32_t next) {
  if (IsWideMark(next)) {
    after_ = After::kWideMark;
  } else if (IsMark(next)) {
    // An ellipsis leaves the sentence open.
    const bool another_dot = next == U'.' && after_ == After::kMark && dot_;
    const bool in_ellipsis = next == U'.' && !word_.empty() && word_.back() == U'.';
    if (after_ != After::kText) word_.push_back(U'.');
    dot_ = next == U'.' && after_ == After::kText;
    if (after_ != After::kWideMark) {
      after_ = another_dot || in_ellipsis ? After::kText : After::kMark;
    }
  } else if (IsSpace(next)) {
    after_ = After::kText;
    begins_line_ = next == U'\n' || (begins_line_ && word_.empty());
    word_.clear();
  } else if (!(after_ != After::kText && IsClosing(next))) {
    if (after_ != After::kText) word_.push_back(U'.');  // The mark was within a word.
    after_ = After::kText;
    word_.push_back(Lower(next));
    if (word_.size() > kLongestWord) word_.erase(0, 1);
  }
}

bool SentenceEnd::DotIsPartOfWord() const {
  std::u32string_view word = word_;
  while (!word.empty() && !IsDigit(word.front()) && !IsLetter(word.front())) word.remove_prefix(1);
  if (word.size() == 1 && IsLetter(word.front())) return true;
  if (begins_line_ && !word.empty() && std::all_of(word.begin(), word.end(), IsDigit)) return true;
  // A dot between letters: "e.g.", "U.S.".
  const size_t dot = word.find(U'.');
  if (dot != std::u32string_view::npos && dot > 0 && dot + 1 < word.size() &&
      IsLetter(word[dot - 1]) && IsLetter(word[dot + 1])) {
    return true;
  }
  return std::find(kAbbreviations.begin(), kAbbreviations.end(), word) != kAbbreviations.end();
}

}  // namespace hocket
