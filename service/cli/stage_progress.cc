#include "service/cli/stage_progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace hocket {
namespace {

constexpr absl::string_view kClearLine = "\r\033[K";

}  // namespace

StageProgress::StageProgress(bool terminal, absl::Duration quiet,
                             std::function<void(absl::string_view)> write)
    : terminal_(terminal), speak_(absl::Now() + quiet), write_(std::move(write)) {}

StageProgress StageProgress::OnStderr() {
  return StageProgress(isatty(STDERR_FILENO) == 1, absl::Seconds(1), [](absl::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
  });
}

void StageProgress::Show(absl::string_view stage, double fraction) {
  const int percent = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * 100);
  const bool new_stage = stage != stage_;
  if (!terminal_ && absl::Now() < speak_) return;
  if (!new_stage && (percent == percent_ || !terminal_)) return;
  stage_ = std::string(stage);
  percent_ = percent;
  if (terminal_) {
    write_(absl::StrCat(kClearLine, stage, " ", percent, " %"));
  } else {
    write_(absl::StrCat("hocket: ", stage, "\n"));
  }
}

void StageProgress::Finish() {
  if (terminal_ && !stage_.empty()) write_(kClearLine);
  stage_.clear();
  percent_ = -1;
}

}  // namespace hocket
