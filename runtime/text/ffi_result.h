// Owners of what the Rust library returns, and its codes as absl::Status. Private to runtime/text.
#ifndef HOCKET_RUNTIME_TEXT_FFI_RESULT_H_
#define HOCKET_RUNTIME_TEXT_FFI_RESULT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "runtime/text/ffi/text_ffi.h"

namespace hocket::ffi {

inline hocket_text_view View(std::string_view text) { return {text.data(), text.size()}; }

// An error message on its way out of the library.
class Error {
 public:
  Error() = default;
  ~Error() { hocket_text_error_free(text_); }
  Error(const Error&) = delete;
  Error& operator=(const Error&) = delete;

  char** out() { return &text_; }

  // The status for `code`; `context` (a file, say) comes before the message.
  absl::Status ToStatus(int32_t code, std::string_view context = "") const {
    if (code == HOCKET_TEXT_OK) return absl::OkStatus();
    std::string message(context);
    if (!message.empty()) message += ": ";
    message += text_ == nullptr ? "unknown error" : text_;
    return code == HOCKET_TEXT_INVALID_ARGUMENT ? absl::InvalidArgumentError(message)
                                                : absl::InternalError(message);
  }

 private:
  char* text_ = nullptr;
};

class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { hocket_text_buffer_free(buffer_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  hocket_text_buffer* out() { return &buffer_; }
  bool has_value() const { return buffer_.data != nullptr; }
  std::string ToString() const { return std::string(buffer_.data, buffer_.size); }

 private:
  hocket_text_buffer buffer_{nullptr, 0};
};

class Tokens {
 public:
  Tokens() = default;
  ~Tokens() { hocket_text_tokens_free(tokens_); }
  Tokens(const Tokens&) = delete;
  Tokens& operator=(const Tokens&) = delete;

  hocket_text_tokens* out() { return &tokens_; }
  std::vector<int32_t> ToVector() const {
    return std::vector<int32_t>(tokens_.data, tokens_.data + tokens_.size);
  }

 private:
  hocket_text_tokens tokens_{nullptr, 0};
};

}  // namespace hocket::ffi

#endif  // HOCKET_RUNTIME_TEXT_FFI_RESULT_H_
