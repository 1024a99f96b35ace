// A traceparent is read exactly when it is what W3C Trace Context calls one, said here another way.
#include <string>

#include "fuzz_input.h"
#include "promise.h"
#include "service/trace_context.h"

namespace hocket::fuzz {
namespace {

bool IsField(const std::string& text, size_t begin, size_t digits) {
  if (text.size() < begin + digits) return false;
  return text.substr(begin, digits).find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool IsTraceparent(const std::string& text) {
  if (!IsField(text, 0, 2) || !IsField(text, 3, 32) || !IsField(text, 36, 16) ||
      !IsField(text, 53, 2) || text[2] != '-' || text[35] != '-' || text[52] != '-') {
    return false;
  }
  const std::string version = text.substr(0, 2);
  if (version == "ff" || text.substr(3, 32) == std::string(32, '0')) return false;
  if (text.substr(36, 16) == std::string(16, '0')) return false;
  return text.size() == 55 || (version != "00" && text[55] == '-');
}

void Check(const std::string& text) {
  const std::optional<TraceContext> context = ParseTraceparent(text);
  Promise(context.has_value() == IsTraceparent(text), "a traceparent is read as the standard says",
          text);
  if (!context) return;
  Promise(
      text.substr(2, 53) == "-" + context->trace_id + "-" + context->span_id + "-" + context->flags,
      "its fields are as they were sent", text);
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check(hocket::fuzz::FuzzInput(data, size).Rest());
  return 0;
}
