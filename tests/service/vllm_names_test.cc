#include "service/vllm_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "metric_text.h"
#include "service/metrics.h"
#include "service/metrics_page.h"
#include "service/request_metrics.h"
#include "small_model.h"

namespace hocket {
namespace {

using testing::SizeIs;

class VllmNamesTest : public testing::Test {
 protected:
  static SchedulerSettings Scheduler() {
    SchedulerSettings settings;
    settings.block_tokens = 32;
    return settings;
  }

  MetricText Page() { return MetricText(MetricsPage(&registry_, {.vllm = true}).Text()); }

  void Run(int64_t prompt_tokens, int64_t cached_tokens, int generated, FinishReason reason) {
    const absl::Time begin = absl::UnixEpoch();
    RequestMetrics request(&metrics_, begin);
    request.Submitting({});
    request.Started({.queued = {}, .prompt_tokens = prompt_tokens, .cached_tokens = cached_tokens});
    for (int i = 0; i < generated; ++i) {
      Outcome outcome;
      outcome.tokens = {1};
      request.Drawn(outcome, begin + absl::Milliseconds(100 * (i + 1)));
    }
    FinishedEvent end;
    end.finish.reason = reason;
    end.usage = {.prompt_tokens = prompt_tokens,
                 .cached_tokens = cached_tokens,
                 .generated_tokens = generated};
    request.Finished(end, begin + absl::Seconds(1));
  }

  prometheus::Registry registry_;
  Metrics metrics_{&registry_, SmallModelInfo(), Scheduler()};
};

TEST_F(VllmNamesTest, TokensLatenciesAndCacheAreOurNumbers) {
  Run(40, 32, 3, FinishReason::kLength);
  const MetricText page = Page();
  const std::string of_model = "{model_name=\"small\"}";
  EXPECT_EQ(page.Value("vllm:prompt_tokens_total" + of_model), 40);
  EXPECT_EQ(page.Value("vllm:generation_tokens_total" + of_model), 3);
  EXPECT_EQ(page.Value("vllm:prefix_cache_queries_total" + of_model), 40);
  EXPECT_EQ(page.Value("vllm:prefix_cache_hits_total" + of_model), 32);
  EXPECT_EQ(page.Value("vllm:inter_token_latency_seconds_count" + of_model), 2);
  EXPECT_NEAR(page.Value("vllm:time_to_first_token_seconds_sum" + of_model), 0.1, 1e-9);
  for (const char* name :
       {"time_to_first_token_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds",
        "request_prefill_time_seconds", "request_decode_time_seconds",
        "request_inference_time_seconds", "request_prompt_tokens", "request_generation_tokens"}) {
    EXPECT_EQ(page.Value(std::string("vllm:") + name + "_count" + of_model), 1) << name;
    EXPECT_EQ(page.types().at(std::string("vllm:") + name), "histogram");
  }
  EXPECT_EQ(page.types().at("vllm:iteration_tokens_total"), "histogram");
}

TEST_F(VllmNamesTest, RunningAndWaitingAreOfAllClassesAndThePreemptedWait) {
  const auto request = [](PriorityClass priority) {
    Request made;
    made.priority = priority;
    return made;
  };
  RequestMetrics first(&metrics_, absl::UnixEpoch());
  RequestMetrics second(&metrics_, absl::UnixEpoch());
  RequestMetrics third(&metrics_, absl::UnixEpoch());
  first.Submitting(request(PriorityClass::kInteractive));
  second.Submitting(request(PriorityClass::kBatch));
  third.Submitting(request(PriorityClass::kBatch));
  first.Started({});
  second.Started({});
  SchedulerStats stats;
  stats.preempted_requests = 1;
  stats.used_blocks = 3;
  stats.total_blocks = 12;
  metrics_.SetStats(stats);
  const MetricText page = Page();
  EXPECT_EQ(page.Value("vllm:num_requests_running{model_name=\"small\"}"), 1);
  EXPECT_EQ(page.Value("vllm:num_requests_waiting{model_name=\"small\"}"), 2);
  EXPECT_EQ(page.Value("vllm:kv_cache_usage_perc{model_name=\"small\"}"), 0.25);
  EXPECT_EQ(page.Value("vllm:gpu_cache_usage_perc{model_name=\"small\"}"), 0.25);
  EXPECT_EQ(page.Value("vllm:cache_config_info{model_name=\"small\",block_size=\"32\","
                       "num_gpu_blocks=\"12\"}"),
            1);
}

TEST_F(VllmNamesTest, EveryFinishReasonHasOneOfTheirs) {
  constexpr int kReasons = static_cast<int>(FinishReason::kRepetition) + 1;
  for (int i = 0; i < kReasons; ++i) Run(1, 0, 1, static_cast<FinishReason>(i));
  const MetricText page = Page();
  const auto ended = [&page](const char* reason) {
    return page.Value(std::string("vllm:request_success_total{model_name=\"small\",") +
                      "finished_reason=\"" + reason + "\"}");
  };
  EXPECT_EQ(ended("stop"), 4);
  EXPECT_EQ(ended("length"), 3);
  EXPECT_EQ(ended("abort"), 3);
  EXPECT_EQ(ended("error"), 1);
  EXPECT_EQ(ended("repetition"), 1);
  EXPECT_EQ(ended("stop") + ended("length") + ended("abort") + ended("error") + ended("repetition"),
            kReasons);
}

TEST_F(VllmNamesTest, EachModelIsNamed) {
  ModelInfo info = SmallModelInfo();
  info.name = "other";
  Metrics other(&registry_, info, Scheduler());
  const MetricText page = Page();
  for (const char* name : {"vllm:num_requests_waiting", "vllm:kv_cache_usage_perc",
                           "vllm:generation_tokens_total", "vllm:cache_config_info"}) {
    EXPECT_THAT(page.SeriesOf(name), SizeIs(2)) << name;
  }
}

}  // namespace
}  // namespace hocket
