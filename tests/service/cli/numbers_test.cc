// Sizes, lists and guesses that flags are made of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service/cli/byte_size.h"
#include "service/cli/edit_distance.h"
#include "service/cli/number_list.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ParseByteSize, ReadsSuffixesOfBothKinds) {
  EXPECT_EQ(*ParseByteSize("0"), 0);
  EXPECT_EQ(*ParseByteSize("1234"), 1234);
  EXPECT_EQ(*ParseByteSize("512MiB"), 512 << 20);
  EXPECT_EQ(*ParseByteSize("1.5 GiB"), int64_t{3} << 29);
  EXPECT_EQ(*ParseByteSize("2g"), int64_t{2} << 30);
  EXPECT_EQ(*ParseByteSize("2GB"), 2000000000);
  EXPECT_EQ(*ParseByteSize("1TiB"), int64_t{1} << 40);
}

TEST(ParseByteSize, RefusesWhatIsNoSize) {
  for (const char* text : {"", "GiB", "-1", "1.2.3", "5 parsecs", "1e3", "99999999TiB"}) {
    EXPECT_FALSE(ParseByteSize(text).ok()) << text;
  }
  EXPECT_THAT(std::string(ParseByteSize("5 parsecs").status().message()),
              HasSubstr("\"5 parsecs\" is not a size"));
}

TEST(FormatByteSize, TakesTheLargestUnit) {
  EXPECT_EQ(FormatByteSize(512), "512 B");
  EXPECT_EQ(FormatByteSize(3 << 29), "1.5 GiB");
  EXPECT_EQ(FormatByteSize(200 << 20), "200 MiB");
}

TEST(ParseTokenList, ReadsCommasSpacesAndBrackets) {
  EXPECT_THAT(*ParseTokenList("1,2,3"), ElementsAre(1, 2, 3));
  EXPECT_THAT(*ParseTokenList("[1, 2,\n 3]\n"), ElementsAre(1, 2, 3));
  EXPECT_THAT(*ParseTokenList("7"), ElementsAre(7));
}

TEST(ParseTokenList, NamesTheEntryThatIsNoId) {
  for (const char* text : {"", "[]", "[1,2", "1,,2", ",1", "1, ", "1,-2", "1.5", "1,99999999999"}) {
    EXPECT_FALSE(ParseTokenList(text).ok()) << text;
  }
  EXPECT_THAT(std::string(ParseTokenList("1,two,3").status().message()), HasSubstr("\"two\""));
}

TEST(CheckTokens, NamesTheIdAndTheRange) {
  const std::vector<TokenId> tokens = {0, 9, 10};
  EXPECT_TRUE(CheckTokens(tokens, 11).ok());
  EXPECT_THAT(std::string(CheckTokens(tokens, 10).message()),
              ::testing::AllOf(HasSubstr("10 is not a token"), HasSubstr("0 .. 9")));
}

TEST(ParseNumberList, ReadsDecimals) {
  EXPECT_THAT(*ParseNumberList("0.5,1,2e1"), ElementsAre(0.5, 1, 20));
  EXPECT_FALSE(ParseNumberList("0.5,,1").ok());
  EXPECT_FALSE(ParseNumberList("nan").ok());
}

TEST(Nearest, GuessesOnlyWhatIsNear) {
  const std::vector<std::string> flags = {"--temperature", "--top-p", "--top-k", ""};
  EXPECT_EQ(Nearest("--temprature", flags), "--temperature");
  EXPECT_EQ(Nearest("--topp", flags), "--top-p");
  EXPECT_EQ(Nearest("--colour", flags), std::nullopt);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
}

}  // namespace
}  // namespace hocket
