#include "service/cli/columns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/str_split.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;

TEST(DisplayWidth, CountsCellsNotBytes) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("Bär"), 3);
  EXPECT_EQ(DisplayWidth("熊"), 2);
  EXPECT_EQ(DisplayWidth("🐻"), 2);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1);
  EXPECT_EQ(DisplayWidth("\xff\xe7"), 2);  // No UTF-8: a cell each.
}

TEST(WrapText, BreaksAtSpacesAndDropsThem) {
  EXPECT_THAT(WrapText("the little bear", 10), ElementsAre("the little", "bear"));
  EXPECT_THAT(WrapText("the little bear", 9), ElementsAre("the", "little", "bear"));
}

TEST(WrapText, KeepsItsOwnNewlines) {
  EXPECT_THAT(WrapText("a\n\nb", 10), ElementsAre("a", "", "b"));
}

TEST(WrapText, CutsWordsThatAreLongerThanALine) {
  EXPECT_THAT(WrapText("abcdefgh", 3), ElementsAre("abc", "def", "gh"));
}

TEST(WrapText, NeverCutsACharacterInTwo) {
  EXPECT_THAT(WrapText("熊熊熊", 5), ElementsAre("熊熊", "熊"));
  EXPECT_THAT(WrapText("ééé", 2), ElementsAre("éé", "é"));
}

TEST(LayoutColumns, NoLineIsWiderThanTheTerminal) {
  const std::vector<TextColumn> columns(
      5,
      {"temperature 0.7", "Once upon a time there was a little bear 熊 who lived alone.", "(9)"});
  for (const int width : {20, 41, 80, 120}) {
    const std::string text = LayoutColumns(columns, width);
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      EXPECT_LE(DisplayWidth(line), width) << line;
    }
  }
}

TEST(LayoutColumns, StandSideBySide) {
  const std::vector<TextColumn> columns = {{"A", "one", ""}, {"B", "two", "(end)"}};
  EXPECT_EQ(LayoutColumns(columns, 51),
            "A                        | B\n"
            "------------------------ | ------------------------\n"
            "one                      | two\n"
            "                         | (end)\n");
}

TEST(LayoutTable, AlignsNumbersToTheRightAndWordsToTheLeft) {
  const std::vector<std::vector<std::string>> rows = {{"batch", "tokens/s", "likely", "rank"},
                                                      {"1", "5.0", "a 50.0%", "-"},
                                                      {"16", "12.5", "b", "7"}};
  EXPECT_EQ(LayoutTable(rows),
            "batch  tokens/s  likely   rank\n"
            "    1       5.0  a 50.0%     -\n"
            "   16      12.5  b           7\n");
}

TEST(TerminalWidth, TheEnvironmentDecides) {
  setenv("COLUMNS", "77", 1);
  EXPECT_EQ(TerminalWidth(), 77);
  setenv("COLUMNS", "3", 1);
  EXPECT_EQ(TerminalWidth(), 20);
  unsetenv("COLUMNS");
}

}  // namespace
}  // namespace hocket
