#include "service/cli/model_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hocket {
namespace {

using ::testing::HasSubstr;

ModelChoice Parsed(absl::string_view text) {
  const absl::StatusOr<ModelChoice> choice = ParseModelChoice(text);
  EXPECT_TRUE(choice.ok()) << choice.status();
  return choice.value_or(ModelChoice());
}

std::string Problem(absl::string_view text) {
  return std::string(ParseModelChoice(text).status().message());
}

TEST(ParseModelChoice, WithoutAnEqualsSignAllOfItIsTheFolder) {
  const ModelChoice choice = Parsed("/models/a, b");
  EXPECT_EQ(choice.dir, "/models/a, b");
  EXPECT_EQ(choice.name, "");
  EXPECT_FALSE(choice.precision || choice.kv_precision || choice.threads || choice.kv_cache_bytes);
}

TEST(ParseModelChoice, ANameComesFirstAndSettingsLast) {
  const ModelChoice choice = Parsed(
      "org/big=/models/x=y,precision=int4,kv-precision=int8,threads=3,kv-cache-bytes=512MiB,"
      "trace-plans=/tmp/a=b");
  EXPECT_EQ(choice.name, "org/big");
  EXPECT_EQ(choice.dir, "/models/x=y");
  EXPECT_EQ(choice.precision, Precision::kInt4);
  EXPECT_EQ(choice.kv_precision, KvPrecision::kInt8);
  EXPECT_EQ(choice.threads, 3);
  EXPECT_EQ(choice.kv_cache_bytes, int64_t{512} << 20);
  EXPECT_EQ(choice.trace_plans, "/tmp/a=b");
}

TEST(ParseModelChoice, SaysWhatIsWrong) {
  EXPECT_EQ(Problem(""), "is empty");
  EXPECT_EQ(Problem("=dir"), "the name before \"=\" is empty");
  EXPECT_EQ(Problem("a="), "no folder behind \"a=\"");
  EXPECT_EQ(Problem("a,b=dir"), R"(the name "a,b" must be of visible ASCII without " and commas)");
  EXPECT_THAT(Problem(std::string(129, 'a') + "=dir"), HasSubstr("129 bytes is longer than 128"));
  EXPECT_EQ(Problem("a=dir,big"), "\"big\" behind the folder is no KEY=VALUE");
  EXPECT_EQ(Problem("a=dir,thread=2"),
            "a model has no setting \"thread\"; did you mean \"threads\"");
  EXPECT_EQ(Problem("a=dir,colour=red"),
            "a model has no setting \"colour\"; it may have precision, kv-precision, threads, "
            "kv-cache-bytes, trace-plans");
  EXPECT_EQ(Problem("a=dir,threads=0"), "threads: 0 is no whole number from 1 to 1024");
  EXPECT_EQ(Problem("a=dir,threads=1,threads=2"), "threads is given twice");
  EXPECT_THAT(Problem("a=dir,precision=f17"), HasSubstr("f17"));
  EXPECT_THAT(Problem("a=dir,kv-cache-bytes=lots"), HasSubstr("\"lots\" is not a size"));
  EXPECT_THAT(Problem("a=dir,precision="), HasSubstr("precision is empty"));
}

TEST(CheckNames, OfSeveralModelsEachHasANameOfItsOwn) {
  const ModelChoice plain = Parsed("dir");
  const ModelChoice a = Parsed("a=dir");
  const ModelChoice b = Parsed("b=dir");
  EXPECT_TRUE(CheckNames(std::vector{plain}).ok());
  EXPECT_TRUE(CheckNames(std::vector{a, b}).ok());
  EXPECT_EQ(CheckNames(std::vector{a, plain}).message(),
            "--model: of several models each needs a name: NAME=dir");
  EXPECT_EQ(CheckNames(std::vector{a, b, a}).message(), "--model: two models are called \"a\"");
}

}  // namespace
}  // namespace hocket
