#include "service/cli/settings_grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

SettingsLists Lists(const char* temperatures, const char* top_ks, const char* top_ps) {
  return *SettingsLists::Parse(temperatures, top_ks, top_ps);
}

std::vector<std::string> Titles(const SettingsLists& lists, bool zip) {
  std::vector<std::string> titles;
  const absl::StatusOr<std::vector<SettingsChoice>> choices = SettingsGrid(lists, zip);
  for (const SettingsChoice& choice : *choices) titles.push_back(choice.Title());
  return titles;
}

TEST(SettingsGrid, CrossesTheLists) {
  EXPECT_THAT(Titles(Lists("0.5,1", "", "0.9,1"), false),
              ElementsAre("temperature 0.5, top-p 0.9", "temperature 0.5, top-p 1",
                          "temperature 1, top-p 0.9", "temperature 1, top-p 1"));
}

TEST(SettingsGrid, ZipsThemWhereAskedRepeatingSingles) {
  EXPECT_THAT(
      Titles(Lists("0.5,1", "40", "0.9,1"), true),
      ElementsAre("temperature 0.5, top-k 40, top-p 0.9", "temperature 1, top-k 40, top-p 1"));
  EXPECT_THAT(std::string(SettingsGrid(Lists("0.5,1", "", "1,1,1"), true).status().message()),
              HasSubstr("2, 0, 3 entries"));
}

TEST(SettingsGrid, HasALimit) {
  EXPECT_THAT(
      std::string(SettingsGrid(Lists("1,1,1,1,1,1", "1,1,1,1,1,1", ""), false).status().message()),
      HasSubstr("36 settings"));
}

TEST(SettingsChoice, ChangesOnlyWhatItHas) {
  GenerationSpec base;
  base.sampling.top_k = 7;
  base.sampling.seed = 9;
  const GenerationSpec spec = (*SettingsGrid(Lists("0", "", ""), false))[0].Apply(base);
  EXPECT_EQ(spec.sampling.temperature, 0);
  EXPECT_EQ(spec.sampling.top_k, 7);
  EXPECT_EQ(spec.sampling.seed, 9u);
}

TEST(SettingsLists, NameTheFlagAtFault) {
  EXPECT_THAT(std::string(SettingsLists::Parse("1", "x", "").status().message()),
              HasSubstr("--top-k: \"x\""));
}

}  // namespace
}  // namespace hocket
