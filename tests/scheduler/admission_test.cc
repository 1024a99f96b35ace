// Who is next: class, tenants by turns, deadlines, arrival; and what is refused for its deadline.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "stepped_scheduler.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One sequence at a time, so that the order of starts is the order of admission.
SchedulerSettings OneSlot() {
  SchedulerSettings settings = SmallSettings();
  settings.max_running_sequences = 1;
  return settings;
}

// Adds the requests to a scheduler that is busy with another, and returns the ids in the order in
// which they start.
std::vector<std::string> OrderOfStarts(const std::vector<RequestShape>& shapes,
                                       SchedulerSettings settings = OneSlot()) {
  SteppedScheduler stepped(settings);
  const RecordedRequest busy({.id = "busy", .priority = PriorityClass::kInteractive});
  EXPECT_TRUE(stepped.Add(busy).ok());
  stepped.Step();
  std::map<SequenceId, std::string> ids;
  std::vector<RecordedRequest> requests;
  for (const RequestShape& shape : shapes) {
    requests.emplace_back(shape);
    EXPECT_TRUE(stepped.Add(requests.back()).ok());
    ids[requests.size() + 1] = shape.id;
  }
  std::vector<std::string> order;
  while (stepped.scheduler.HasWork()) {
    for (const SequenceStart& start : stepped.Step().starts) order.push_back(ids[start.sequence]);
  }
  for (const RecordedRequest& request : requests) ExpectOfflineAnswer(request);
  return order;
}

TEST(Admission, GoesByClassThenTenantThenDeadlineThenArrival) {
  const absl::Time soon = absl::UnixEpoch() + absl::Seconds(10);
  EXPECT_THAT(OrderOfStarts({{.id = "batch", .priority = PriorityClass::kBatch},
                             {.id = "a1", .tenant = "a"},
                             {.id = "a2", .tenant = "a"},
                             {.id = "a3", .deadline = soon, .tenant = "a"},
                             {.id = "b1", .tenant = "b"},
                             {.id = "now", .priority = PriorityClass::kInteractive}}),
              ElementsAre("now", "a3", "b1", "a1", "a2", "batch"));
}

TEST(Admission, LetsATenantOfTwoThroughAFloodOfAThousand) {
  std::vector<RequestShape> shapes;
  for (int i = 0; i < 40; ++i) {
    shapes.push_back({.id = "flood" + std::to_string(i), .tenant = "flood"});
  }
  shapes.push_back({.id = "x", .tenant = "small"});
  shapes.push_back({.id = "y", .tenant = "small"});
  const std::vector<std::string> order = OrderOfStarts(shapes);
  const auto place = [&](const std::string& id) {
    return std::find(order.begin(), order.end(), id) - order.begin();
  };
  EXPECT_LE(place("x"), 1);
  EXPECT_LE(place("y"), 3);
}

TEST(Admission, ServesTenantsByTheirWeights) {
  std::vector<RequestShape> shapes;
  for (int i = 0; i < 30; ++i) {
    shapes.push_back({.id = "a", .tenant = "a"});
    shapes.push_back({.id = "b", .tenant = "b", .tenant_weight = 3});
  }
  for (size_t i = 0; i < shapes.size(); ++i) shapes[i].id += std::to_string(i);
  const std::vector<std::string> order = OrderOfStarts(shapes);
  const auto of_b = std::count_if(order.begin(), order.begin() + 24,
                                  [](const std::string& id) { return id[0] == 'b'; });
  EXPECT_EQ(of_b, 18) << "three of four";
}

TEST(Admission, GivesNoCreditForTimeWithoutRequests) {
  SteppedScheduler stepped(OneSlot());
  // Tenant a is served alone for a while; then b comes, and is not served alone for as long.
  std::vector<RecordedRequest> requests;
  const auto add = [&](const std::string& tenant) {
    requests.emplace_back(
        RequestShape{.id = tenant + std::to_string(requests.size()), .tenant = tenant});
    ASSERT_TRUE(stepped.Add(requests.back()).ok());
  };
  for (int i = 0; i < 12; ++i) add("a");
  for (int i = 0; i < 30; ++i) stepped.Step();
  const size_t first_of_b = requests.size();
  for (int i = 0; i < 6; ++i) add("b");
  for (int i = 0; i < 24; ++i) stepped.Step();
  int started_of_b = 0;
  for (size_t i = first_of_b; i < requests.size(); ++i) {
    started_of_b += requests[i].sink->Get().started.has_value() ? 1 : 0;
  }
  EXPECT_GE(started_of_b, 2);
  EXPECT_LE(started_of_b, 4) << "of six starts, about half";
  stepped.RunDry();
}

TEST(Admission, TakesTheSlotOfALowerClassForAHigherOne) {
  SteppedScheduler stepped(OneSlot());
  const RecordedRequest batch(
      {.id = "batch", .max_new_tokens = 20, .priority = PriorityClass::kBatch});
  const RecordedRequest chat({.id = "chat", .priority = PriorityClass::kInteractive});
  ASSERT_TRUE(stepped.Add(batch).ok());
  for (int i = 0; i < 5; ++i) stepped.Step();
  ASSERT_TRUE(stepped.Add(chat).ok());
  EXPECT_EQ(stepped.Step().starts.size(), 1u);
  EXPECT_EQ(chat.sink->Get().tokens.size(), 1u);
  EXPECT_EQ(stepped.scheduler.Stats().preempted_requests, 1);
  stepped.RunDry();
  ExpectOfflineAnswer(batch);
  ExpectOfflineAnswer(chat);
}

TEST(Admission, LetsEqualsFinish) {
  SteppedScheduler stepped(OneSlot());
  const RecordedRequest first({.id = "first", .max_new_tokens = 10});
  const RecordedRequest second({.id = "second", .deadline = absl::UnixEpoch() + absl::Seconds(1)});
  ASSERT_TRUE(stepped.Add(first).ok());
  stepped.Step();
  ASSERT_TRUE(stepped.Add(second).ok());
  stepped.RunDry();
  EXPECT_EQ(stepped.scheduler.Stats().preemptions, 0);
}

TEST(Admission, TakesBlocksFromTheTenantServedMost) {
  SchedulerSettings settings = SmallSettings();
  settings.total_blocks = 12;
  SteppedScheduler stepped(settings);
  const RecordedRequest greedy_old(
      {.id = "g1", .prompt = PromptOf(8), .max_new_tokens = 16, .tenant = "greedy"});
  const RecordedRequest greedy(
      {.id = "g2", .prompt = PromptOf(8), .max_new_tokens = 16, .tenant = "greedy"});
  const RecordedRequest modest(
      {.id = "m", .prompt = PromptOf(4), .max_new_tokens = 12, .tenant = "modest"});
  for (const auto* request : {&greedy_old, &greedy, &modest}) {
    ASSERT_TRUE(stepped.Add(*request).ok());
  }
  while (stepped.scheduler.Stats().preemptions == 0) stepped.Step();
  EXPECT_FALSE(modest.sink->Get().ended());
  // The youngest is the modest one; the greedy tenant's younger one gave way.
  const StepPlan plan = stepped.Step();
  std::vector<SequenceId> running;
  for (const PlanRow& row : plan.rows) running.push_back(row.sequence);
  EXPECT_THAT(running, ElementsAre(1, 3));
  stepped.RunDry();
  for (const auto* request : {&greedy_old, &greedy, &modest}) ExpectOfflineAnswer(*request);
}

TEST(Admission, SaysWhyARequestWaited) {
  SteppedScheduler stepped(OneSlot());
  stepped.time_of = [](const StepLoad&) { return absl::Seconds(1); };
  const RecordedRequest first({.id = "first", .max_new_tokens = 3, .tenant = "a"});
  const RecordedRequest second({.id = "second", .max_new_tokens = 2, .tenant = "a"});
  const RecordedRequest third({.id = "third", .max_new_tokens = 1, .tenant = "b"});
  for (const auto* request : {&first, &second, &third}) ASSERT_TRUE(stepped.Add(*request).ok());
  stepped.RunDry();
  // b's turn came before a's second: one second behind the first's step, then for its slot.
  const RequestTimings of_third = third.sink->Get().finished.timings;
  EXPECT_EQ(of_third.queued, absl::Seconds(3));
  EXPECT_EQ(of_third.waits.slots, absl::Seconds(3));
  EXPECT_EQ(of_third.waits.fairness, absl::ZeroDuration());
  const RequestTimings of_second = second.sink->Get().finished.timings;
  EXPECT_EQ(of_second.queued, absl::Seconds(4));
  EXPECT_EQ(of_second.waits.fairness, absl::Seconds(3));
  EXPECT_EQ(of_second.waits.slots, absl::Seconds(1));
}

// 1 ms for a step, and 1 ms for each prefill token.
absl::Duration SlowPrefill(const StepLoad& load) {
  return absl::Milliseconds(1 + load.prefill_tokens);
}

void LearnStepTimes(SteppedScheduler& stepped) {
  for (const int32_t prompt_tokens : {3, 9, 30, 14, 5, 22}) {
    const RecordedRequest request({.id = "learn", .prompt = PromptOf(prompt_tokens)});
    ASSERT_TRUE(stepped.Add(request).ok());
    stepped.RunDry();
  }
}

TEST(Deadline, ThatByPredictionComesBeforeTheFirstTokenIsRefusedAtOnce) {
  SteppedScheduler stepped;
  stepped.time_of = SlowPrefill;
  LearnStepTimes(stepped);
  const RecordedRequest hopeless(
      {.id = "hopeless", .prompt = PromptOf(50), .deadline = stepped.now + absl::Milliseconds(30)});
  const RecordedRequest fine(
      {.id = "fine", .prompt = PromptOf(50), .deadline = stepped.now + absl::Seconds(1)});
  ASSERT_TRUE(stepped.Add(fine).ok());
  ASSERT_TRUE(stepped.Add(hopeless).ok());
  stepped.Step();
  const Heard heard = hopeless.sink->Get();
  EXPECT_EQ(heard.reason(), FinishReason::kDeadline);
  EXPECT_FALSE(heard.started.has_value());
  EXPECT_EQ(heard.finished.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(heard.finished.status.message(),
              HasSubstr("by prediction the first token comes in "));
  EXPECT_THAT(heard.finished.status.message(), HasSubstr("and the deadline is in 30ms"));
  stepped.RunDry();
  ExpectOfflineAnswer(fine);
}

TEST(Deadline, IsNotPredictedFromNothing) {
  SteppedScheduler stepped;
  const RecordedRequest request({.deadline = stepped.now + absl::Nanoseconds(1)});
  ASSERT_TRUE(stepped.Add(request).ok());
  stepped.Step();
  EXPECT_TRUE(request.sink->Get().started.has_value());
  stepped.RunDry();
}

TEST(StepTarget, CutsPrefillToTheTimeThatDecodersAreOwed) {
  SchedulerSettings settings = SmallSettings();
  settings.max_step_tokens = 400;
  settings.max_context_tokens = 500;
  settings.total_blocks = 500;
  settings.target_inter_token = absl::Milliseconds(52);
  SteppedScheduler stepped(settings);
  stepped.time_of = SlowPrefill;
  LearnStepTimes(stepped);
  const RecordedRequest chat({.id = "chat", .max_new_tokens = 20});
  const RecordedRequest essay({.id = "essay", .prompt = PromptOf(300), .max_new_tokens = 1});
  ASSERT_TRUE(stepped.Add(chat).ok());
  stepped.Step();
  ASSERT_TRUE(stepped.Add(essay).ok());
  for (int left = 300; left > 0; left -= 48) {
    EXPECT_EQ(stepped.Step().tokens.size(), 1u + std::min(left, 48)) << "multiples of 16 in 51 ms";
    EXPECT_LE(stepped.scheduler.LastPlanShape().predicted_seconds, 0.0525);
  }
  stepped.RunDry();
  ExpectOfflineAnswer(essay);
}

TEST(StepTarget, BoundsNothingWhileNobodyDecodes) {
  SchedulerSettings settings = SmallSettings();
  settings.max_step_tokens = 60;
  settings.target_inter_token = absl::Milliseconds(5);
  SteppedScheduler stepped(settings);
  stepped.time_of = SlowPrefill;
  LearnStepTimes(stepped);
  ASSERT_TRUE(stepped.Add(RecordedRequest({.prompt = PromptOf(50)})).ok());
  EXPECT_EQ(stepped.Step().tokens.size(), 50u);
  stepped.RunDry();
}

TEST(StepTarget, NeverStopsAPromptAltogether) {
  SchedulerSettings settings = SmallSettings();
  settings.target_inter_token = absl::Microseconds(1);
  settings.max_step_tokens = 60;
  SteppedScheduler stepped(settings);
  stepped.time_of = SlowPrefill;
  LearnStepTimes(stepped);
  const RecordedRequest chat({.id = "chat", .max_new_tokens = 40});
  const RecordedRequest essay({.id = "essay", .prompt = PromptOf(40), .max_new_tokens = 1});
  ASSERT_TRUE(stepped.Add(chat).ok());
  stepped.Step();
  ASSERT_TRUE(stepped.Add(essay).ok());
  EXPECT_EQ(stepped.Step().tokens.size(), 17u);
  EXPECT_EQ(stepped.Step().tokens.size(), 17u);
  EXPECT_EQ(stepped.Step().tokens.size(), 9u);
  stepped.RunDry();
}

}  // namespace
}  // namespace hocket
