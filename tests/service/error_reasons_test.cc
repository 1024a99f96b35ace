#include "service/error_reasons.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::Pair;

TEST(ErrorReasonsTest, TheTableHasARowOfItsOwnForEachReason) {
  std::set<std::string> names;
  for (const ErrorReasonRow& row : ErrorReasons()) {
    EXPECT_EQ(&RowOf(row.reason), &row) << row.name;
    EXPECT_TRUE(names.insert(std::string(row.name)).second) << row.name;
    EXPECT_NE(row.code, absl::StatusCode::kOk) << row.name;
    EXPECT_FALSE(row.meaning.empty()) << row.name;
    EXPECT_FALSE(row.advice.empty()) << row.name;
  }
  // The enumeration's last.
  EXPECT_EQ(ErrorReasons().size(), static_cast<size_t>(ErrorReason::kInternal) + 1);
}

TEST(ErrorReasonsTest, TheDocumentationSaysWhatTheTableSays) {
  std::ifstream file(HOCKET_SOURCE_DIR "/docs/api.md");
  ASSERT_TRUE(file.is_open());
  std::vector<std::string> documented, rows;
  bool in_table = false;
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, "| reason |")) in_table = true;
    if (line.empty()) in_table = false;
    if (in_table && absl::StartsWith(line, "| `")) documented.push_back(line);
  }
  for (const ErrorReasonRow& row : ErrorReasons()) {
    rows.push_back(absl::StrCat("| `", row.name, "` | `", absl::StatusCodeToString(row.code),
                                "` | ", row.meaning, " | ", row.advice, " |"));
  }
  EXPECT_THAT(documented, ElementsAreArray(rows));
}

TEST(ErrorReasonsTest, AReasonTravelsWithTheStatus) {
  for (const ErrorReasonRow& row : ErrorReasons()) {
    const absl::Status status = ReasonError(row.reason, "why");
    EXPECT_EQ(status.code(), row.code);
    EXPECT_EQ(status.message(), "why");
    EXPECT_EQ(ReasonOf(status), row.reason) << row.name;
    EXPECT_EQ(ReasonOrFallback(status), row.reason) << row.name;
  }
  const absl::Status changed =
      WithReason(ReasonError(ErrorReason::kQueueFull, "full"), ErrorReason::kTenantLimit);
  EXPECT_EQ(ReasonOf(changed), ErrorReason::kTenantLimit);
  EXPECT_EQ(WithReason(absl::OkStatus(), ErrorReason::kInternal), absl::OkStatus());
}

TEST(ErrorReasonsTest, AStatusWithoutAReasonGetsTheFirstOfItsCode) {
  EXPECT_EQ(ReasonOf(absl::InvalidArgumentError("m")), std::nullopt);
  EXPECT_EQ(ReasonOrFallback(absl::InvalidArgumentError("m")), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOrFallback(absl::CancelledError("m")), ErrorReason::kCancelled);
  EXPECT_EQ(ReasonOrFallback(absl::ResourceExhaustedError("m")), ErrorReason::kRequestTooLarge);
  EXPECT_EQ(ReasonOrFallback(absl::DataLossError("m")), ErrorReason::kInternal);
}

TEST(ErrorReasonsTest, MetadataTravelsWithTheStatusByRisingKey) {
  absl::Status status = ReasonError(ErrorReason::kTenantLimit, "full");
  EXPECT_THAT(MetadataOf(status), ElementsAre());
  status = WithMetadata(status, "limit", "running");
  status = WithMetadata(status, kFieldKey, "text");
  status = WithMetadata(status, kLimitKey, "waiting");
  EXPECT_THAT(MetadataOf(status), ElementsAre(Pair("field", "text"), Pair("limit", "waiting")));
}

}  // namespace
}  // namespace hocket
