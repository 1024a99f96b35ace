#include "runtime/text/detokenizer.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace hocket {
namespace {

// Tokens of context: they decide whether a token starts with a space and which bytes of a character
// are still open (three at most, each token giving at least one).
constexpr size_t kContextTokens = 8;
// The window is cut back to its context at this length, so a token costs a decode of so many at
// most.
constexpr size_t kMaxWindowTokens = 24;

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// The part of `text` that later tokens cannot change. An incomplete character shows as exactly one
// U+FFFD at the end (and so may a character that is U+FFFD: it is held back by one token too).
size_t SettledBytes(std::string_view text) {
  return text.ends_with(kReplacement) ? text.size() - kReplacement.size() : text.size();
}

// Bytes that the two have in common at their beginning, whole characters only.
size_t CommonBytes(std::string_view a, std::string_view b) {
  size_t bytes = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
  const auto inside_character = [](std::string_view text, size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
  };
  while (bytes > 0 && (inside_character(a, bytes) || inside_character(b, bytes))) --bytes;
  return bytes;
}

}  // namespace

Detokenizer::Detokenizer(const Tokenizer* tokenizer, std::span<const TokenId> prompt,
                         bool skip_special_tokens)
    : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {
  for (auto token = prompt.rbegin(); token != prompt.rend(); ++token) {
    if (window_.size() == kContextTokens) break;
    if (IsTextless(*token)) continue;
    window_.push_back(*token);
  }
  std::reverse(window_.begin(), window_.end());
  absl::StatusOr<std::string> text = tokenizer_->Decode(window_, skip_special_tokens_);
  if (text.ok()) {
    emitted_ = *std::move(text);
  } else {
    window_.clear();  // No context rather than no text; the request's own check names the token.
  }
}

absl::StatusOr<std::string> Detokenizer::Append(TokenId token) {
  if (IsTextless(token)) return std::string();
  window_.push_back(token);
  absl::StatusOr<std::string> text = tokenizer_->Decode(window_, skip_special_tokens_);
  if (!text.ok()) {
    window_.pop_back();
    return text.status();
  }
  text_ = *std::move(text);
  std::string delta = Release(SettledBytes(text_));
  if (window_.size() >= kMaxWindowTokens) {
    absl::Status cut = CutWindow();
    if (!cut.ok()) return cut;
  }
  return delta;
}

absl::StatusOr<std::string> Detokenizer::Finish() { return Release(text_.size()); }

// Emits text_[emitted, end). The emitted text is a prefix of text_ but for a prompt that ends
// within a character: its U+FFFD becomes the character that the first tokens complete.
std::string Detokenizer::Release(size_t end) {
  const size_t begin = CommonBytes(text_, emitted_);
  if (end <= begin) return std::string();
  emitted_ = text_.substr(0, end);
  return text_.substr(begin, end - begin);
}

absl::Status Detokenizer::CutWindow() {
  const bool holds_back = emitted_.size() < text_.size();
  window_.erase(window_.begin(), window_.end() - kContextTokens);
  absl::StatusOr<std::string> text = tokenizer_->Decode(window_, skip_special_tokens_);
  if (!text.ok()) return text.status();
  text_ = *std::move(text);
  emitted_ = text_.substr(0, holds_back ? SettledBytes(text_) : text_.size());
  return absl::OkStatus();
}

bool Detokenizer::IsTextless(TokenId token) const {
  if (token >= tokenizer_->vocabulary_size()) return true;
  return skip_special_tokens_ && tokenizer_->IsSpecial(token);
}

}  // namespace hocket
