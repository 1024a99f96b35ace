#include "runtime/text/tokenizer.h"

#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/text/ffi/text_ffi.h"
#include "runtime/text/ffi_result.h"
#include "runtime/text/model_file.h"

namespace hocket {
namespace {

constexpr char kFile[] = "tokenizer.json";
static_assert(std::is_same_v<TokenId, int32_t>, "the C ABI's token ids are 32-bit");

}  // namespace

class Tokenizer::Impl {
 public:
  explicit Impl(hocket_tokenizer* handle) : handle_(handle) {}
  ~Impl() { hocket_tokenizer_free(handle_); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  const hocket_tokenizer* handle() const { return handle_; }

 private:
  hocket_tokenizer* handle_;
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

const hocket_tokenizer* Tokenizer::handle() const { return impl_->handle(); }

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& model_dir) {
  absl::StatusOr<std::string> json = ReadModelFile(model_dir, kFile);
  if (!json.ok()) return json.status();
  hocket_tokenizer* handle = nullptr;
  ffi::Error error;
  const int32_t code = hocket_tokenizer_load(ffi::View(*json), &handle, error.out());
  absl::Status status = error.ToStatus(code, absl::StrCat(model_dir, "/", kFile));
  if (!status.ok()) return status;
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::make_unique<Impl>(handle)));
}

absl::StatusOr<std::vector<TokenId>> Tokenizer::Encode(std::string_view text,
                                                       bool add_special_tokens) const {
  ffi::Tokens tokens;
  ffi::Error error;
  const int32_t code = hocket_tokenizer_encode(impl_->handle(), ffi::View(text), add_special_tokens,
                                               tokens.out(), error.out());
  if (code != HOCKET_TEXT_OK) return error.ToStatus(code);
  return tokens.ToVector();
}

absl::StatusOr<std::string> Tokenizer::Decode(std::span<const TokenId> tokens,
                                              bool skip_special_tokens) const {
  ffi::Buffer text;
  ffi::Error error;
  const int32_t code = hocket_tokenizer_decode(impl_->handle(), tokens.data(), tokens.size(),
                                               skip_special_tokens, text.out(), error.out());
  if (code != HOCKET_TEXT_OK) return error.ToStatus(code);
  return text.ToString();
}

std::optional<std::string> Tokenizer::IdToPiece(TokenId token) const {
  ffi::Buffer piece;
  const int32_t code =
      hocket_tokenizer_id_to_piece(impl_->handle(), token, piece.out(), /*error=*/nullptr);
  if (code != HOCKET_TEXT_OK || !piece.has_value()) return std::nullopt;
  return piece.ToString();
}

std::optional<TokenId> Tokenizer::PieceToId(std::string_view piece) const {
  TokenId token = -1;
  const int32_t code = hocket_tokenizer_piece_to_id(impl_->handle(), ffi::View(piece), &token,
                                                    /*error=*/nullptr);
  if (code != HOCKET_TEXT_OK || token < 0) return std::nullopt;
  return token;
}

int32_t Tokenizer::vocabulary_size() const {
  return hocket_tokenizer_vocabulary_size(impl_->handle());
}

bool Tokenizer::IsSpecial(TokenId token) const {
  return hocket_tokenizer_is_special(impl_->handle(), token);
}

}  // namespace hocket
