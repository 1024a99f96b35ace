// The expectations in fixtures/chat/*/expected.json are transformers' apply_chat_template.
#include "runtime/text/chat_template.h"

#include <ctime>
#include <thread>

#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket {
namespace {

using ::hocket::testing::FixtureDir;
using ::hocket::testing::ScratchDir;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof(text), "%d %b %Y", &parts));
}

class ChatTemplateAgreement : public ::testing::TestWithParam<const char*> {};

TEST_P(ChatTemplateAgreement, RendersAsTransformersDoes) {
  const std::string name = std::string("chat/") + GetParam();
  auto chat_template = ChatTemplate::Load(FixtureDir(name));
  ASSERT_TRUE(chat_template.ok()) << chat_template.status();
  const nlohmann::json expected = hocket::testing::ReadExpected(name);
  ASSERT_GT(expected.size(), 10u);
  for (const auto& test : expected) {
    SCOPED_TRACE(test["name"].get<std::string>());
    std::vector<ChatMessage> messages;
    for (const auto& message : test["messages"]) {
      messages.push_back({message["role"], message["content"]});
    }
    const bool generate = test["add_generation_prompt"];
    const std::string day_before = Today();
    absl::StatusOr<std::string> text = (*chat_template)->Render(messages, generate);
    if (Today() != day_before) text = (*chat_template)->Render(messages, generate);
    if (test.contains("error")) {
      EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(text.status().message(), test["error"].get<std::string>());
    } else {
      ASSERT_TRUE(text.ok()) << text.status();
      EXPECT_EQ(*text, absl::StrReplaceAll(test["text"].get<std::string>(), {{"@DATE@", Today()}}));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ChatTemplateAgreement,
                         ::testing::Values("chatml", "llama3", "mistral", "corners"));

TEST(ChatTemplate, AFolderWithoutOneIsNotFound) {
  ScratchDir dir;
  EXPECT_EQ(ChatTemplate::Load(dir.path()).status().code(), absl::StatusCode::kNotFound);
  dir.Write("tokenizer_config.json", "{\"chat_template\": null}");
  const absl::Status status = ChatTemplate::Load(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("chat_template.jinja"));
}

TEST(ChatTemplate, AMistakeNamesTheFileAndTheLine) {
  ScratchDir dir;
  dir.Write("chat_template.jinja", "hello\n{% if %}\n");
  absl::Status status = ChatTemplate::Load(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("chat_template.jinja"), HasSubstr("line 2")));

  dir.Write("tokenizer_config.json", "[1, 2");
  status = ChatTemplate::Load(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("tokenizer_config.json"));
}

TEST(ChatTemplate, AListWithoutADefaultIsRefused) {
  ScratchDir dir;
  dir.Write("tokenizer_config.json",
            R"({"chat_template": [{"name": "tools", "template": "x"}, {"name": "default"}]})");
  const absl::Status status = ChatTemplate::Load(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("default"));
}

TEST(ChatTemplate, InvalidUtf8NamesTheMessage) {
  ScratchDir dir;
  dir.Write("chat_template.jinja", "{{ messages[1].content }}");
  auto chat_template = ChatTemplate::Load(dir.path());
  ASSERT_TRUE(chat_template.ok());
  const absl::Status status =
      (*chat_template)->Render({{"user", "a"}, {"user", "b\xFF"}}, false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "messages[1].content is not valid UTF-8 at byte 1");
}

// On a thread with the default stack: neither time, stack nor memory may run out.
TEST(ChatTemplate, ARunawayTemplateEndsWithAnError) {
  for (const char* source :
       {"{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}",
        "{% macro m(x) %}{{ m(x + 1) }}{% endmacro %}{{ m(1) }}",
        "{% for a in range(99999) %}{{ messages[0].content * 1000 }}{% endfor %}"}) {
    ScratchDir dir;
    dir.Write("chat_template.jinja", source);
    auto chat_template = ChatTemplate::Load(dir.path());
    ASSERT_TRUE(chat_template.ok()) << chat_template.status();
    absl::Status status;
    std::thread([&] {
      status = (*chat_template)->Render({{"user", "one two three"}}, false).status();
    }).join();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << source;
  }
}

}  // namespace
}  // namespace hocket
