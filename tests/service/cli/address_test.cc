#include "service/cli/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hocket {
namespace {

using ::testing::HasSubstr;

TEST(ParseAddress, ReadsHostAndPort) {
  EXPECT_EQ(*ParseAddress("127.0.0.1:50051"), (HostPort{"127.0.0.1", 50051}));
  EXPECT_EQ(*ParseAddress("localhost:0"), (HostPort{"localhost", 0}));
}

TEST(ParseAddress, NoHostMeansEveryInterface) {
  EXPECT_EQ(*ParseAddress(":9464"), (HostPort{"0.0.0.0", 9464}));
}

TEST(ParseAddress, KeepsTheBracketsOfIPv6) {
  EXPECT_EQ(*ParseAddress("[::1]:50051"), (HostPort{"[::1]", 50051}));
  EXPECT_FALSE(ParseAddress("::1").ok());
}

TEST(ParseAddress, SaysWhatIsWrong) {
  EXPECT_THAT(std::string(ParseAddress("nonsense").status().message()), HasSubstr("HOST:PORT"));
  EXPECT_THAT(std::string(ParseAddress("a:70000").status().message()), HasSubstr("0 to 65535"));
  EXPECT_THAT(std::string(ParseAddress("a:-1").status().message()), HasSubstr("\"-1\""));
  EXPECT_FALSE(ParseAddress("a:").ok());
}

}  // namespace
}  // namespace hocket
