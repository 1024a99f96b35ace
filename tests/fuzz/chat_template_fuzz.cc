// A chat template of unknown origin, from either of its places: refused with words when it is
// loaded or rendered, or text. Rendering is bounded by the template engine's own limits, which the
// run's limits of time and memory check.
#include <filesystem>

#include "fuzz_input.h"
#include "promise.h"
#include "runtime/text/chat_template.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket::fuzz {
namespace {

using testing::IsValidUtf8;

void CheckRefusal(const absl::Status& status) {
  Promise(absl::IsInvalidArgument(status) || absl::IsNotFound(status) || absl::IsInternal(status),
          "a template is refused for what it says", status.ToString());
  Promise(!status.message().empty(), "a refusal says why");
}

std::vector<ChatMessage> Chat(uint8_t kind) {
  switch (kind % 4) {
    case 0:
      return {{"user", "Hello"}};
    case 1:
      return {{"system", "Be brief."}, {"user", "é😀"}, {"assistant", ""}, {"user", "{{ x }}"}};
    case 2:
      return {{"assistant", "out of order"}, {"nobody", "a\nb"}};
    default:
      return {};
  }
}

void Check(FuzzInput input) {
  static const auto* const folder = new testing::ScratchDir();
  const uint8_t flags = input.Byte();
  const bool in_config = flags & 8;
  std::filesystem::remove(folder->path() + "/chat_template.jinja");
  std::filesystem::remove(folder->path() + "/special_tokens_map.json");
  if (in_config) {
    folder->Write("tokenizer_config.json", input.Rest());
    if (flags & 16) folder->Write("special_tokens_map.json", R"({"bos_token":{"content":"<s>"}})");
  } else {
    folder->Write("tokenizer_config.json", R"({"bos_token":"<s>","eos_token":"</s>"})");
    folder->Write("chat_template.jinja", input.Rest());
  }
  const auto chat_template = ChatTemplate::Load(folder->path());
  if (!chat_template.ok()) return CheckRefusal(chat_template.status());
  const auto text = (*chat_template)->Render(Chat(flags), flags & 4);
  if (!text.ok()) return CheckRefusal(text.status());
  Promise(IsValidUtf8(*text), "a rendered chat is text");
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check({data, size});
  return 0;
}
