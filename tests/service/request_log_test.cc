#include "service/request_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "captured_log.h"
#include "service/error_reasons.h"
#include "service/log_event.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What LogRequest writes, without the level.
std::string LoggedText(const RequestRecord& record) {
  CapturedLog log;
  LogRequest(record);
  const std::string line = log.Take().at(0);
  return line.substr(line.find(' ') + 1);
}

RequestRecord ServedRecord() {
  RequestRecord record;
  record.request_id = "mine";
  record.method = "Generate";
  record.model = "tales";
  record.peer = "ipv4:127.0.0.1:4000";
  record.finished.emplace();
  record.finished->finish.reason = FinishReason::kLength;
  record.finished->usage = {.prompt_tokens = 5, .cached_tokens = 2, .generated_tokens = 7};
  record.finished->timings.queued = absl::Microseconds(1520);
  record.first_token = absl::Milliseconds(12);
  record.total = absl::Milliseconds(40);
  return record;
}

TEST(LogRequest, SaysWhoAskedWhatAndWhereTheTimeWent) {
  RequestRecord record = ServedRecord();
  record.tenant = "choir";
  record.key_name = "choir-1";
  EXPECT_EQ(LoggedText(record),
            "request id=mine method=Generate model=tales tenant=choir key=choir-1 "
            "peer=ipv4:127.0.0.1:4000 outcome=ok finish_reason=FINISH_REASON_LENGTH "
            "prompt_tokens=5 cached_tokens=2 generated_tokens=7 queued_ms=1.5 slots_ms=0.0 "
            "blocks_ms=0.0 budget_ms=0.0 fairness_ms=0.0 prefill_ms=0.0 decode_ms=0.0 "
            "first_token_ms=12.0 total_ms=40.0");
}

TEST(LogRequest, ARefusalHasItsReasonAndNoSizes) {
  RequestRecord record;
  record.request_id = "mine";
  record.method = "Score";
  record.status = ReasonError(ErrorReason::kQueueFull, "full");
  const std::string line = LoggedText(record);
  EXPECT_EQ(line, "request id=mine method=Score outcome=resource_exhausted reason=QUEUE_FULL");
  EXPECT_THAT(line, Not(HasSubstr("tokens")));
}

TEST(LogRequest, AnIdThatWasRefusedForItsLengthIsCut) {
  RequestRecord record = ServedRecord();
  record.request_id = std::string(7'000'000, 'x');
  EXPECT_LT(LoggedText(record).size(), 600u);
}

TEST(LogRequest, CharactersThatActOnWhatShowsThemAreEscaped) {
  RequestRecord record = ServedRecord();
  record.prompt = "a\u0085b\u009b31mc\u2028d\u202e";
  EXPECT_THAT(LoggedText(record), HasSubstr(R"( prompt="a\u0085b\u009b31mc\u2028d\u202e")"));
  EXPECT_EQ(JsonText("\u0085\u2029\u00e9"), "\"\\u0085\\u2029\u00e9\"");
}

TEST(LogRequest, AClientsWordsMakeNeitherLinesNorMembers) {
  RequestRecord record = ServedRecord();
  record.request_id = "a\nrequest id=forged outcome=\"ok\"";
  record.tenant = "b outcome=ok";
  const std::string line = LoggedText(record);
  EXPECT_THAT(line, HasSubstr(R"(id="a\nrequest id=forged outcome=\"ok\"" method=)"));
  EXPECT_THAT(line, HasSubstr(R"(tenant="b outcome=ok" peer=)"));
}

TEST(LogRequest, TheTraceIsThreeMembers) {
  RequestRecord record = ServedRecord();
  record.trace = TraceContext{"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "01"};
  EXPECT_THAT(LoggedText(record),
              HasSubstr(" trace_id=0af7651916cd43dd8448eb211c80319c span_id=b7ad6b7169203331 "
                        "trace_flags=01"));
}

TEST(LogRequest, PromptsAndAnswersOnlyWhereTheyAreGiven) {
  RequestRecord record = ServedRecord();
  EXPECT_THAT(LoggedText(record), Not(HasSubstr("prompt=")));
  record.prompt = "Once upon";
  record.answers = {"a time", "a mattress"};
  EXPECT_THAT(LoggedText(record),
              HasSubstr(R"( prompt="Once upon" answer="a time" answer_1="a mattress")"));
}

TEST(LogEvent, OtherMessagesAreNoEvents) {
  EXPECT_FALSE(EventAsText("request id=a").has_value());
  EXPECT_FALSE(EventAsJson("{\"event\":\"request\"}").has_value());
  EXPECT_FALSE(EventAsText("\x1e{").has_value());
}

}  // namespace
}  // namespace hocket
