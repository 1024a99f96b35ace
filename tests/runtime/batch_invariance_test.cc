// A seeded request gets the same tokens, log-probabilities and text, bit for bit, alone and in a
// batch that comes and goes, is chunked otherwise and is preempted: the default model, computed
// for real behind the real scheduler.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/model_runtime.h"
#include "scheduler/scheduler.h"
#include "tests/runtime/executor_driver.h"

namespace hocket {
namespace {

class AnswerSink final : public Sink {
 public:
  void OnStarted(const StartedEvent&) override {}
  void OnOutcome(Outcome outcome) override {
    const auto append = [](auto& to, const auto& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    append(answer.tokens, outcome.tokens);
    append(answer.scores, outcome.scores);
    append(answer.prompt_scores, outcome.prompt_scores);
    answer.texts.push_back(outcome.text);
  }
  void OnFinished(const FinishedEvent& event) override {
    answer.status = event.status;
    answer.finish = event.finish;
  }
  Answer answer;
};

struct Loaded {
  std::unique_ptr<ModelRuntime> runtime;
  std::vector<Request> requests;  // Without sinks.
};

Loaded LoadWith(Precision precision, KvPrecision kv, int32_t threads) {
  RuntimeSettings settings;
  settings.model_dir = std::string(HOCKET_SOURCE_DIR) + "/models/tales";
  settings.precision = precision;
  settings.kv_precision = kv;
  settings.threads = threads;
  settings.kv_cache_bytes = 64 << 20;
  auto runtime = ModelRuntime::Load(settings);
  EXPECT_TRUE(runtime.ok()) << runtime.status();
  Loaded loaded{*std::move(runtime), {}};
  const char* const prompts[] = {"Once upon a time", "The little fox wanted",
                                 "Tell me a story about a lighthouse and the girl who kept it",
                                 "{\"name\":", "One day, in the deep and quiet forest, a"};
  for (int i = 0; i < 10; ++i) {
    Request request;
    request.id = std::to_string(i);
    request.prompt = std::make_shared<const std::vector<TokenId>>(
        *loaded.runtime->tokenizer().Encode(prompts[i % 5], true));
    auto spec = std::make_shared<GenerationSpec>();
    spec->sampling.temperature = i % 4 == 0 ? 0 : 0.5f + 0.1f * static_cast<float>(i);
    spec->sampling.top_k = i % 3 == 0 ? 40 : 0;
    spec->sampling.top_p = i % 2 == 0 ? 0.9f : 1;
    spec->sampling.seed = 7000 + i;
    spec->stopping.max_new_tokens = 36 + 5 * i;
    if (i == 5) spec->stopping.stop_strings = {" the "};
    spec->output.logprobs = true;
    spec->output.top_logprobs = 2;
    spec->output.prompt_logprobs = i % 2 == 0;
    if (i == 8) {  // A beam search; its blocks and a neighbour's are more than a crowded run has.
      spec->beam = BeamSettings{.width = 3, .returned = 2};
      spec->sampling.repetition_penalty = 1.3f;
      spec->stopping.max_new_tokens = 24;
      request.choices = 3;
      request.beam = true;
    }
    request.max_new_tokens = spec->stopping.max_new_tokens;
    request.spec = std::move(spec);
    loaded.requests.push_back(std::move(request));
  }
  return loaded;
}

struct Run {
  std::vector<std::string> answers;
  int64_t preemptions = 0;
};

// Submits one request every `apart` steps (all at once when 0).
Run RunAll(ModelRuntime& runtime, const std::vector<Request>& requests,
           const SchedulerSettings& settings, int apart) {
  Scheduler scheduler(settings);
  std::vector<std::shared_ptr<AnswerSink>> sinks;
  const absl::Time now = absl::UnixEpoch();
  for (int step = 0; sinks.size() < requests.size() || scheduler.HasWork(); ++step) {
    while (sinks.size() < requests.size() && (apart == 0 || step % apart == 0)) {
      Request request = requests[sinks.size()];
      sinks.push_back(std::make_shared<AnswerSink>());
      request.sink = sinks.back();
      EXPECT_TRUE(scheduler.Add(std::move(request), now).ok());
      if (apart > 0) break;
    }
    const StepPlan& plan = scheduler.Plan(now);
    StepResult result;
    const absl::Status status = runtime.executor().Execute(plan, result);
    EXPECT_TRUE(status.ok()) << status;
    scheduler.Commit(status, result, now);
  }
  Run run;
  for (const auto& sink : sinks) run.answers.push_back(Printed(sink->answer));
  run.preemptions = scheduler.Stats().preemptions;
  return run;
}

void ExpectTheSameInAnyBatch(Precision precision, KvPrecision kv = KvPrecision::kAuto) {
  Loaded loaded = LoadWith(precision, kv, 2);
  SchedulerSettings settings;
  settings.total_blocks = loaded.runtime->info().kv_blocks;
  settings.max_context_tokens = loaded.runtime->info().max_context_tokens;

  std::vector<std::string> alone;
  for (const Request& request : loaded.requests) {
    alone.push_back(RunAll(*loaded.runtime, {request}, settings, 0).answers[0]);
    EXPECT_NE(alone.back().find("finish"), std::string::npos);
  }
  EXPECT_EQ(RunAll(*loaded.runtime, loaded.requests, settings, 0).answers, alone);
  EXPECT_EQ(RunAll(*loaded.runtime, loaded.requests, settings, 3).answers, alone);

  settings.max_step_tokens = 12;  // Prompts come in chunks, beside other rows.
  EXPECT_EQ(RunAll(*loaded.runtime, loaded.requests, settings, 2).answers, alone);

  settings.total_blocks = 12;  // Not enough for all: some are preempted and computed again.
  const Run crowded = RunAll(*loaded.runtime, loaded.requests, settings, 0);
  EXPECT_EQ(crowded.answers, alone);
  EXPECT_GT(crowded.preemptions, 0);

  const Loaded one_thread = LoadWith(precision, kv, 1);
  settings.total_blocks = one_thread.runtime->info().kv_blocks;
  EXPECT_EQ(RunAll(*one_thread.runtime, one_thread.requests, settings, 0).answers, alone);
}

TEST(BatchInvariance, F32) { ExpectTheSameInAnyBatch(Precision::kF32); }
TEST(BatchInvariance, Bf16) { ExpectTheSameInAnyBatch(Precision::kBf16); }
TEST(BatchInvariance, Int8) { ExpectTheSameInAnyBatch(Precision::kInt8); }
TEST(BatchInvariance, Int4) { ExpectTheSameInAnyBatch(Precision::kInt4); }
TEST(BatchInvariance, Int8WithInt8KeysAndValues) {
  ExpectTheSameInAnyBatch(Precision::kInt8, KvPrecision::kInt8);
}

// Guesses right, wrong and right again: a row of several tokens computes each as a row of one does.
void ExpectTheSameGuessed(Precision precision, KvPrecision kv = KvPrecision::kAuto) {
  const Loaded loaded = LoadWith(precision, kv, 2);
  Executor& executor = loaded.runtime->executor();
  SequenceId id = 1;
  for (const Request& request : std::span(loaded.requests).first(4)) {
    DrivenSequence plain(id++, *request.spec, *request.prompt);
    const std::string expected = Printed(RunAlone(executor, plain, 1000));
    std::vector<TokenId> all = *request.prompt;
    all.insert(all.end(), plain.answer.tokens.begin(), plain.answer.tokens.end());
    DrivenSequence guessed(id++, *request.spec, *request.prompt);
    guessed.GuessWith([&](std::span<const TokenId> tokens) {
      std::vector<TokenId> guesses;
      for (size_t i = tokens.size(); i < std::min(tokens.size() + 6, all.size()); ++i) {
        guesses.push_back(i % 11 == 0 ? 7 : all[i]);
      }
      return guesses;
    });
    EXPECT_EQ(Printed(RunAlone(executor, guessed, 1000)), expected);
    EXPECT_LT(guessed.answer.texts.size(), plain.answer.texts.size() / 2);
  }
}

TEST(BatchInvariance, GuessesF32) { ExpectTheSameGuessed(Precision::kF32); }
TEST(BatchInvariance, GuessesBf16) { ExpectTheSameGuessed(Precision::kBf16); }
TEST(BatchInvariance, GuessesInt8) {
  ExpectTheSameGuessed(Precision::kInt8);
  ExpectTheSameGuessed(Precision::kInt8, KvPrecision::kInt8);
}
TEST(BatchInvariance, GuessesInt4) { ExpectTheSameGuessed(Precision::kInt4); }

}  // namespace
}  // namespace hocket
