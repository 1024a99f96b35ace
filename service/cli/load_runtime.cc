#include "service/cli/load_runtime.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/cli/stage_progress.h"

namespace hocket {

absl::StatusOr<std::unique_ptr<ModelRuntime>> LoadRuntime(RuntimeSettings settings,
                                                          absl::string_view flag) {
  StageProgress progress = StageProgress::OnStderr();
  settings.progress = [&progress](std::string_view stage, double fraction) {
    progress.Show(std::string(stage), fraction);
  };
  if (settings.notice) {
    settings.notice = [&progress, notice = std::move(settings.notice)](std::string_view line) {
      progress.Finish();  // Else the line would follow the progress on its own.
      notice(line);
    };
  }
  absl::StatusOr<std::unique_ptr<ModelRuntime>> runtime = ModelRuntime::Load(settings);
  progress.Finish();
  if (runtime.ok()) return runtime;
  return absl::Status(runtime.status().code(),
                      absl::StrCat(flag, ": ", runtime.status().message()));
}

}  // namespace hocket
