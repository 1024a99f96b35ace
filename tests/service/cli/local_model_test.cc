#include "service/cli/local_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "service/cli/interrupts.h"
#include "service/cli/result_json.h"
#include "small_model.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;

class LocalModelTest : public ::testing::Test {
 protected:
  LocalModelTest() {
    SchedulerSettings settings;
    settings.total_blocks = 512;
    settings.max_context_tokens = 4096;
    model_ =
        std::make_unique<LocalModel>(settings, ServedModel{SmallModelInfo(), &text_, &executor_});
  }

  std::unique_ptr<Completion> Start(const std::string& prompt, int32_t new_tokens,
                                    GenerationSpec spec = {}) {
    spec.stopping.max_new_tokens = new_tokens;
    absl::StatusOr<std::vector<TokenId>> tokens = text_.Encode(prompt, false);
    absl::StatusOr<std::unique_ptr<Completion>> completion =
        model_->Start(*tokens, spec, new_tokens);
    EXPECT_TRUE(completion.ok()) << completion.status();
    return *std::move(completion);
  }

  ByteText text_;
  LetterExecutor executor_;
  std::unique_ptr<LocalModel> model_;
};

TEST_F(LocalModelTest, CollectsTheWholeAnswerAndGivesEachPiece) {
  std::string pieces;
  absl::StatusOr<CompletionResult> result = Start("abc", 5)->Collect(
      [&pieces](const Outcome& outcome) {
        pieces += outcome.text;
        return absl::OkStatus();
      },
      false);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->text, LettersAfter(3, 5));
  EXPECT_EQ(pieces, result->text);
  EXPECT_EQ(result->tokens.size(), 5u);
  EXPECT_EQ(result->finished.finish.reason, FinishReason::kLength);
  EXPECT_EQ(result->finished.usage.prompt_tokens, 3);
}

TEST_F(LocalModelTest, AnErrorOfTheReaderEndsTheRequestAndComesBack) {
  executor_.step_ms = 2;
  absl::StatusOr<CompletionResult> result =
      Start("abc", 4000)
          ->Collect([](const Outcome&) { return absl::AbortedError("nobody reads"); }, false);
  EXPECT_EQ(result.status().message(), "nobody reads");
}

TEST_F(LocalModelTest, AnInterruptStopsTheAnswerAndNotTheModel) {
  Interrupts::Install();
  executor_.step_ms = 2;
  std::unique_ptr<Completion> completion = Start("abc", 4000);
  raise(SIGINT);
  absl::StatusOr<CompletionResult> result = completion->Collect(nullptr, true);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->finished.finish.reason, FinishReason::kCancelled);
  EXPECT_LT(result->tokens.size(), 2000u);
  Interrupts::Clear();
  EXPECT_EQ(Start("abc", 2)->Collect(nullptr, true)->text, LettersAfter(3, 2));
}

TEST_F(LocalModelTest, AFailedStepIsAnErrorWithItsReason) {
  executor_.fail_rows = true;
  absl::StatusOr<CompletionResult> result = Start("abc", 4)->Collect(nullptr, false);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("this row fails"));
}

TEST_F(LocalModelTest, ScoringGivesEveryPromptTokenButTheFirst) {
  GenerationSpec spec;
  spec.output.prompt_logprobs = true;
  absl::StatusOr<CompletionResult> result = Start("abcd", 0, spec)->Collect(nullptr, false);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->prompt_scores.size(), 3u);
  EXPECT_TRUE(result->tokens.empty());
}

TEST_F(LocalModelTest, JsonHasAllThatRepeatsTheAnswer) {
  GenerationSpec spec;
  spec.sampling.seed = 18446744073709551615u;
  spec.sampling.temperature = 0.7f;
  spec.output.logprobs = true;
  spec.output.top_logprobs = 2;
  absl::StatusOr<CompletionResult> result = Start("abc", 2, spec)->Collect(nullptr, false);
  ASSERT_TRUE(result.ok()) << result.status();
  const nlohmann::ordered_json json = CompletionJson(SmallModelInfo(), spec, *result);
  EXPECT_EQ(json["text"], "de");
  EXPECT_EQ(json["tokens"], nlohmann::json({'d', 'e'}));
  EXPECT_EQ(json["seed"], 18446744073709551615u);
  EXPECT_EQ(json["sampling"]["temperature"].dump(), "0.699999988");
  EXPECT_EQ(json["finish_reason"], "length");
  EXPECT_EQ(json["logprobs"][0]["top"].size(), 2u);
  EXPECT_EQ(json["usage"]["generated_tokens"], 2);
  EXPECT_TRUE(json["timings"]["total_ms"].is_number());
}

}  // namespace
}  // namespace hocket
