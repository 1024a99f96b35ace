#include "service/trace_context.h"

#include <gtest/gtest.h>

#include <string>

namespace hocket {
namespace {

constexpr char kTrace[] = "0af7651916cd43dd8448eb211c80319c";
constexpr char kSpan[] = "b7ad6b7169203331";

std::string Traceparent(const std::string& version = "00", const std::string& trace = kTrace,
                        const std::string& span = kSpan, const std::string& flags = "01") {
  return version + "-" + trace + "-" + span + "-" + flags;
}

TEST(ParseTraceparent, HasTheTraceTheSpanAndTheFlags) {
  const auto context = ParseTraceparent(Traceparent());
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(context->trace_id, kTrace);
  EXPECT_EQ(context->span_id, kSpan);
  EXPECT_EQ(context->flags, "01");
}

TEST(ParseTraceparent, OfALaterVersionTheFirstFourFieldsCount) {
  EXPECT_TRUE(ParseTraceparent(Traceparent("01")).has_value());
  EXPECT_TRUE(ParseTraceparent(Traceparent("cc") + "-what-will-be").has_value());
  EXPECT_FALSE(ParseTraceparent(Traceparent("cc") + ".what-will-be").has_value());
  EXPECT_FALSE(ParseTraceparent(Traceparent("ff")).has_value());
}

TEST(ParseTraceparent, NothingOfWhatIsNotWellFormed) {
  const std::string zeros(32, '0');
  for (const std::string& bad :
       {std::string(), std::string("00"), std::string("00-"), Traceparent() + "-",
        Traceparent() + "0", Traceparent("0"), Traceparent("0g"), Traceparent("000"),
        Traceparent("00", zeros), Traceparent("00", kTrace, zeros.substr(16)),
        Traceparent("00", std::string(kTrace) + "0"),
        Traceparent("00", std::string(kTrace).substr(1)),
        Traceparent("00", "0AF7651916CD43DD8448EB211C80319C"), Traceparent("00", kTrace, "b7ad"),
        Traceparent("00", kTrace, kSpan, "1"), Traceparent("00", kTrace, kSpan, "0x"),
        " " + Traceparent(), Traceparent() + " ", Traceparent() + "-00"}) {
    EXPECT_FALSE(ParseTraceparent(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace hocket
