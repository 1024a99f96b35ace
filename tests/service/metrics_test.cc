#include "service/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "metric_text.h"
#include "scheduler/step_text.h"
#include "service/error_reasons.h"
#include "service/metrics_page.h"
#include "service/request_metrics.h"
#include "service/server_metrics.h"
#include "small_model.h"

namespace hocket {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::SizeIs;

absl::Time At(double seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

Request RequestOf(const std::string& tenant, PriorityClass priority, float temperature = 0) {
  auto spec = std::make_shared<GenerationSpec>();
  spec->sampling.temperature = temperature;
  Request request;
  request.id = "r";
  request.tenant = tenant;
  request.priority = priority;
  request.max_new_tokens = 8;
  request.spec = spec;
  return request;
}

Outcome Drawn(int tokens, int32_t choice = 0) {
  Outcome outcome;
  outcome.tokens.assign(tokens, 7);
  outcome.choice_index = choice;
  return outcome;
}

FinishedEvent Ended(FinishReason reason, double queued_s = 0, double prefill_s = 0,
                    double decode_s = 0) {
  FinishedEvent event;
  event.finish.reason = reason;
  event.timings.queued = absl::Seconds(queued_s);
  event.timings.prefill = absl::Seconds(prefill_s);
  event.timings.decode = absl::Seconds(decode_s);
  return event;
}

class MetricsTest : public testing::Test {
 protected:
  MetricText Page() const { return MetricText::Of(registry_); }
  double Value(const std::string& series) const { return Page().Value(series); }

  prometheus::Registry registry_;
  Metrics metrics_{&registry_, SmallModelInfo()};
};

TEST_F(MetricsTest, EverySeriesHasTheModelsName) {
  for (const prometheus::MetricFamily& family : registry_.Collect()) {
    EXPECT_FALSE(family.metric.empty()) << family.name;
    for (const prometheus::ClientMetric& metric : family.metric) {
      EXPECT_THAT(metric.label, Contains(prometheus::ClientMetric::Label{"model", "small"}))
          << family.name;
    }
  }
}

TEST_F(MetricsTest, CountersOfFixedLabelsBeginAtZero) {
  const MetricText page = Page();
  for (const ErrorReasonRow& row : ErrorReasons()) {
    EXPECT_EQ(page.Value("hocket_request_errors_total{model=\"small\",reason=\"" +
                         std::string(row.name) + "\"}"),
              0);
  }
  EXPECT_EQ(page.SeriesOf("hocket_request_errors_total").size(), ErrorReasons().size());
  for (int i = 0; i <= static_cast<int>(FinishReason::kRepetition); ++i) {
    EXPECT_EQ(page.Value("hocket_finish_reasons_total{model=\"small\",reason=\"" +
                         std::string(FinishReasonName(static_cast<FinishReason>(i))) + "\"}"),
              0);
  }
  EXPECT_EQ(
      page.Value("hocket_requests_total{model=\"small\",method=\"Score\",outcome=\"cancelled\"}"),
      0);
  EXPECT_THAT(page.SeriesOf("hocket_requests_waiting"), SizeIs(kPriorityClasses));
}

TEST_F(MetricsTest, TwoModelsShareTheirFamilies) {
  ModelInfo info = SmallModelInfo();
  info.name = "other";
  Metrics other(&registry_, info);
  other.CountRequest("Generate", absl::OkStatus());
  const MetricText page = Page();
  EXPECT_EQ(page.Value("hocket_requests_total{model=\"other\",method=\"Generate\",outcome=\"ok\"}"),
            1);
  EXPECT_EQ(page.Value("hocket_requests_total{model=\"small\",method=\"Generate\",outcome=\"ok\"}"),
            0);
  std::set<std::string> names;
  for (const prometheus::MetricFamily& family : registry_.Collect()) {
    EXPECT_TRUE(names.insert(family.name).second) << family.name << " is there twice";
  }
}

TEST_F(MetricsTest, AnErrorCountsByItsReason) {
  metrics_.CountRequest("Generate", ReasonError(ErrorReason::kQueueFull, "full"));
  metrics_.CountRequest("Generate", absl::InternalError("no reason given"));
  const MetricText page = Page();
  EXPECT_EQ(page.Value("hocket_request_errors_total{model=\"small\",reason=\"QUEUE_FULL\"}"), 1);
  EXPECT_EQ(page.Value("hocket_request_errors_total{model=\"small\",reason=\"INTERNAL\"}"), 1);
  EXPECT_EQ(page.Value("hocket_requests_total{model=\"small\",method=\"Generate\",outcome="
                       "\"resource_exhausted\"}"),
            1);
}

TEST_F(MetricsTest, ARequestWaitsThenRunsThenIsGone) {
  const auto held = [this](const char* state, const char* priority) {
    return Value(std::string("hocket_requests_") + state + "{model=\"small\",priority=\"" +
                 priority + "\"}");
  };
  RequestMetrics request(&metrics_, At(0));
  request.Submitting(RequestOf("t", PriorityClass::kBatch));
  EXPECT_EQ(held("waiting", "batch"), 1);
  EXPECT_EQ(held("running", "batch"), 0);
  request.Started({});
  EXPECT_EQ(held("waiting", "batch"), 0);
  EXPECT_EQ(held("running", "batch"), 1);
  request.Finished(Ended(FinishReason::kLength), At(1));
  EXPECT_EQ(held("running", "batch"), 0);

  RequestMetrics refused(&metrics_, At(0));
  refused.Submitting(RequestOf("t", PriorityClass::kStandard));
  refused.NotTaken();
  RequestMetrics never_started(&metrics_, At(0));
  never_started.Submitting(RequestOf("t", PriorityClass::kStandard));
  never_started.Finished(Ended(FinishReason::kCancelled, 3), At(3));
  for (const char* state : {"waiting", "running"}) {
    for (const char* priority : {"interactive", "standard", "batch"}) {
      EXPECT_EQ(held(state, priority), 0) << state << priority;
    }
  }
}

TEST_F(MetricsTest, LatenciesAreOfTheRequestsOwnLife) {
  RequestMetrics request(&metrics_, At(10));
  request.Submitting(RequestOf("t", PriorityClass::kStandard));
  request.Started({.queued = absl::Seconds(1), .prompt_tokens = 30, .cached_tokens = 16});
  request.Drawn(Drawn(0), At(11.5));  // Text held back is no token.
  request.Drawn(Drawn(1, 0), At(12));
  request.Drawn(Drawn(1, 1), At(12.25));  // The first of its choice.
  request.Drawn(Drawn(3, 0), At(12.5));
  FinishedEvent end = Ended(FinishReason::kLength, 1, 0.75, 0.5);
  end.usage = {.prompt_tokens = 30, .cached_tokens = 16, .generated_tokens = 5};
  request.Finished(end, At(13));
  const MetricText page = Page();
  const auto sum_and_count = [&page](const std::string& name) {
    const std::string labels = "{model=\"small\"}";
    return std::pair(page.Value(name + "_sum" + labels), page.Value(name + "_count" + labels));
  };
  EXPECT_EQ(request.first_token(), absl::Seconds(2));
  EXPECT_EQ(sum_and_count("hocket_time_to_first_token_seconds"), std::pair(2.0, 1.0));
  EXPECT_EQ(sum_and_count("hocket_inter_token_seconds"), std::pair(0.5, 1.0));
  EXPECT_EQ(sum_and_count("hocket_request_seconds"), std::pair(3.0, 1.0));
  EXPECT_EQ(sum_and_count("hocket_request_queue_seconds"), std::pair(1.0, 1.0));
  EXPECT_EQ(sum_and_count("hocket_request_prefill_seconds"), std::pair(0.75, 1.0));
  EXPECT_EQ(sum_and_count("hocket_request_decode_seconds"), std::pair(0.5, 1.0));
  EXPECT_EQ(sum_and_count("hocket_request_inference_seconds"), std::pair(1.25, 1.0));
  EXPECT_EQ(sum_and_count("hocket_request_prompt_tokens"), std::pair(30.0, 1.0));
  EXPECT_EQ(sum_and_count("hocket_request_generated_tokens"), std::pair(5.0, 1.0));
  EXPECT_EQ(page.Value("hocket_prompt_tokens_total{model=\"small\"}"), 30);
  EXPECT_EQ(page.Value("hocket_prompt_cached_tokens_total{model=\"small\"}"), 16);
  EXPECT_EQ(page.Value("hocket_generated_tokens_total{model=\"small\"}"), 5);
}

TEST_F(MetricsTest, OnlyNamedTenantsHaveSeriesOfTheirOwn) {
  metrics_.NameTenants({"alice", "", "other"});
  for (const char* tenant : {"alice", "mallory-1", "mallory-2"}) {
    RequestMetrics request(&metrics_, At(0));
    request.Submitting(RequestOf(tenant, PriorityClass::kStandard));
    request.Started({.queued = {}, .prompt_tokens = 4, .cached_tokens = 0});
    request.Drawn(Drawn(2), At(1));
    request.Finished(Ended(FinishReason::kLength), At(1));
  }
  const MetricText page = Page();
  EXPECT_THAT(page.SeriesOf("hocket_tenant_requests_total"), SizeIs(2));
  EXPECT_EQ(page.Value("hocket_tenant_requests_total{model=\"small\",tenant=\"alice\"}"), 1);
  EXPECT_EQ(page.Value("hocket_tenant_requests_total{model=\"small\",tenant=\"other\"}"), 2);
  EXPECT_EQ(page.Value("hocket_tenant_prompt_tokens_total{model=\"small\",tenant=\"other\"}"), 8);
  EXPECT_EQ(page.Value("hocket_tenant_generated_tokens_total{model=\"small\",tenant=\"alice\"}"),
            2);
}

TEST_F(MetricsTest, NamedTenantsAreBoundedAndStay) {
  std::vector<std::string> many;
  for (size_t i = 0; i < TenantMetrics::kMaxNamed + 50; ++i)
    many.push_back("t" + std::to_string(i));
  metrics_.NameTenants({"first"});
  metrics_.NameTenants(many);
  metrics_.NameTenants({"late"});
  const MetricText page = Page();
  EXPECT_THAT(page.SeriesOf("hocket_tenant_requests_total"), SizeIs(TenantMetrics::kMaxNamed + 1));
  EXPECT_EQ(page.Value("hocket_tenant_requests_total{model=\"small\",tenant=\"first\"}"), 0);
}

TEST_F(MetricsTest, ARequestCountsForAllThatItAsksOfSampling) {
  Request request = RequestOf("t", PriorityClass::kStandard, /*temperature=*/0.5);
  auto spec = std::make_shared<GenerationSpec>(*request.spec);
  spec->sampling.frequency_penalty = 1;
  spec->output.logprobs = true;
  request.spec = spec;
  request.choices = 3;
  RequestMetrics random(&metrics_, At(0));
  random.Submitting(request);
  random.Started({});
  request.beam = true;
  RequestMetrics beams(&metrics_, At(0));
  beams.Submitting(request);
  beams.Started({});
  request.max_new_tokens = 0;
  RequestMetrics score(&metrics_, At(0));
  score.Submitting(request);
  score.Started({});
  const MetricText page = Page();
  const std::map<std::string, double> expected = {
      {"prompt_only", 1}, {"greedy", 0},      {"random", 1},    {"beam_search", 1},
      {"choices", 1},     {"constrained", 0}, {"penalties", 2}, {"token_rules", 0},
      {"logprobs", 2},    {"speculation", 0}};
  EXPECT_EQ(page.SeriesOf("hocket_sampling_requests_total").size(), expected.size());
  for (const auto& [feature, count] : expected) {
    EXPECT_EQ(
        page.Value("hocket_sampling_requests_total{model=\"small\",feature=\"" + feature + "\"}"),
        count)
        << feature;
  }
}

TEST_F(MetricsTest, AStepIsCountedByWhatItComputes) {
  StepObservation step;
  step.decode_rows = 3;
  step.prefill_rows = 1;
  step.prefill_tokens = 64;
  step.duration = absl::Milliseconds(30);
  step.execute = absl::Milliseconds(20);
  step.predicted_seconds = 0.025;
  step.timings.forward_seconds = 0.015;
  step.stats.preemptions = 2;
  metrics_.OnStep(step);
  step.decode_rows = 1;
  step.prefill_rows = step.prefill_tokens = 0;
  step.duration = absl::Milliseconds(10);
  metrics_.OnStep(step);
  const MetricText page = Page();
  EXPECT_EQ(page.Value("hocket_step_seconds_count{model=\"small\"}"), 2);
  EXPECT_EQ(page.Value("hocket_step_tokens_sum{model=\"small\"}"), 68);
  EXPECT_EQ(page.Value("hocket_step_prefill_tokens_count{model=\"small\"}"), 1);
  EXPECT_EQ(page.Value("hocket_step_rows_total{model=\"small\",kind=\"decode\"}"), 4);
  EXPECT_EQ(page.Value("hocket_step_rows_total{model=\"small\",kind=\"prefill\"}"), 1);
  EXPECT_EQ(page.Value("hocket_preemptions_total{model=\"small\"}"), 2);
  EXPECT_NEAR(page.Value("hocket_step_prediction_error_ratio_sum{model=\"small\"}"), 0.5, 1e-9);
  EXPECT_EQ(metrics_.LongestRecentStep(), absl::Milliseconds(30));
  for (int i = 0; i < 64; ++i) metrics_.OnStep(step);
  EXPECT_EQ(metrics_.LongestRecentStep(), absl::Milliseconds(10)) << "of late";
}

TEST_F(MetricsTest, CallsOfNoModelHaveAnEmptyModel) {
  ServerMetrics server(&registry_);
  server.CountCall("Generate", ReasonError(ErrorReason::kModelNotFound, "which?"));
  server.SetRetained(7, 100, 3, 0);
  server.SetRetained(5, 90, 4, 0);
  const MetricText page = Page();
  EXPECT_EQ(page.Value("hocket_requests_total{model=\"\",method=\"Generate\",outcome="
                       "\"not_found\"}"),
            1);
  EXPECT_EQ(page.Value("hocket_request_errors_total{model=\"\",reason=\"MODEL_NOT_FOUND\"}"), 1);
  EXPECT_EQ(page.Value("hocket_retained_sessions"), 5);
  EXPECT_EQ(page.Value("hocket_retained_session_bytes"), 90);
  EXPECT_EQ(page.Value("hocket_retained_sessions_ended_total{reason=\"time\"}"), 4);
  EXPECT_EQ(page.Value("hocket_retained_sessions_ended_total{reason=\"room\"}"), 0);
}

TEST_F(MetricsTest, ThePageHasTheProcessAndWhatItTook) {
  int refreshed = 0;
  MetricsPage page(&registry_, MetricsNames(), [&refreshed] { ++refreshed; });
  page.Text();
  const std::string text = page.Text();
  EXPECT_EQ(refreshed, 2);
  const MetricText parsed(text);
  EXPECT_GT(parsed.Value("process_cpu_seconds_total"), 0);
  EXPECT_GT(parsed.Value("process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(parsed.Value("process_open_fds"), 2);
  EXPECT_GE(parsed.Value("process_threads"), 1);
  const double started = parsed.Value("process_start_time_seconds");
  EXPECT_NEAR(started, absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()), 120);
  EXPECT_GT(parsed.Value("hocket_metrics_page_seconds"), 0);
  EXPECT_THAT(text, Not(HasSubstr("vllm:")));
}

TEST(MetricsNamesTest, OursAreAlwaysThereAndVllmsWhereAsked) {
  EXPECT_EQ(*ParseMetricsNames({}), MetricsNames());
  EXPECT_EQ(*ParseMetricsNames({"hocket"}), MetricsNames());
  EXPECT_TRUE(ParseMetricsNames({"hocket,vllm"})->vllm);
  EXPECT_TRUE(ParseMetricsNames({"hocket", "vllm"})->vllm);
  EXPECT_THAT(std::string(ParseMetricsNames({"hocket,triton"}).status().message()),
              HasSubstr("\"triton\" is neither hocket nor vllm"));
}

}  // namespace
}  // namespace hocket
