// Shows on stderr how far long work is: one line that is rewritten on a terminal, one line per
// stage elsewhere. Main thread.
#ifndef HOCKET_SERVICE_CLI_STAGE_PROGRESS_H_
#define HOCKET_SERVICE_CLI_STAGE_PROGRESS_H_

#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace hocket {

class StageProgress {
 public:
  // Writes to `write`, by rewriting one line where `terminal`, else from `quiet` after now on.
  StageProgress(bool terminal, absl::Duration quiet, std::function<void(absl::string_view)> write);
  // Writes to stderr, the way that suits what stderr is; a second is long.
  static StageProgress OnStderr();

  // `fraction` is of the stage or of the whole; only whole percents are shown.
  void Show(absl::string_view stage, double fraction);
  void Finish();  // Clears the terminal's line.

 private:
  bool terminal_;
  absl::Time speak_;  // Before this time only a terminal is written to.
  std::function<void(absl::string_view)> write_;
  std::string stage_;
  int percent_ = -1;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_STAGE_PROGRESS_H_
