#include "service/cli/stage_progress.h"

#include <gtest/gtest.h>

namespace hocket {
namespace {

struct Written {
  std::string text;
  std::function<void(absl::string_view)> Sink() {
    return [this](absl::string_view piece) { text += std::string(piece); };
  }
};

TEST(StageProgress, ATerminalSeesOneLineRewritten) {
  Written written;
  StageProgress progress(/*terminal=*/true, absl::Hours(1), written.Sink());
  progress.Show("weights", 0);
  progress.Show("weights", 0.501);
  progress.Show("weights", 0.502);
  progress.Finish();
  EXPECT_EQ(written.text, "\r\033[Kweights 0 %\r\033[Kweights 50 %\r\033[K");
}

TEST(StageProgress, AFileSeesOneLinePerStage) {
  Written written;
  StageProgress progress(/*terminal=*/false, absl::ZeroDuration(), written.Sink());
  progress.Show("weights", 0);
  progress.Show("weights", 0.5);
  progress.Show("tokenizer", 0);
  progress.Finish();
  EXPECT_EQ(written.text, "hocket: weights\nhocket: tokenizer\n");
}

TEST(StageProgress, AFileSeesNothingOfShortWork) {
  Written written;
  StageProgress progress(/*terminal=*/false, absl::Hours(1), written.Sink());
  progress.Show("weights", 0);
  progress.Finish();
  EXPECT_EQ(written.text, "");
}

}  // namespace
}  // namespace hocket
