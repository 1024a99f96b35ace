// A trace that was written by hand, cut or changed is refused by its line or replayed, twice to the
// same report; the scheduler that it drives keeps its invariants.
#include <sstream>

#include "promise.h"
#include "scheduler/plan_trace.h"

namespace hocket::fuzz {
namespace {

absl::StatusOr<ReplayReport> Replay(const std::string& trace) {
  std::istringstream in(trace);
  return ReplayPlans(in);
}

void Check(const std::string& trace) {
  const absl::StatusOr<ReplayReport> report = Replay(trace);
  const absl::StatusOr<ReplayReport> again = Replay(trace);
  Promise(report.status() == again.status(), "a trace is read the same twice");
  if (!report.ok()) {
    const std::string message(report.status().message());
    Promise(absl::IsInvalidArgument(report.status()) && message.starts_with("line "),
            "a refusal names the line", message);
    return;
  }
  Promise(report->requests == again->requests && report->plans == again->plans &&
              report->difference == again->difference,
          "a scheduler plans the same twice");
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
