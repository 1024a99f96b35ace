// `hocket replay`: runs the scheduler again on a trace and says whether it plans the same.
#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "scheduler/plan_trace.h"
#include "service/cli/command.h"

namespace hocket {
namespace {

class ReplayCommand final : public Command {
 public:
  absl::string_view name() const override { return "replay"; }
  absl::string_view summary() const override {
    return "Run the scheduler again on what `serve --trace-plans` wrote";
  }

  void AddFlags(CLI::App& app) override { app.add_option("FILE", file_, "The trace")->required(); }

  absl::StatusOr<int> Run() override {
    std::ifstream in(file_);
    if (!in) return absl::NotFoundError(absl::StrCat(file_, " cannot be read"));
    const absl::StatusOr<ReplayReport> report = ReplayPlans(in);
    if (!report.ok()) {
      return absl::Status(report.status().code(),
                          absl::StrCat(file_, ": ", report.status().message()));
    }
    if (!report->difference.empty()) {
      std::cout << "plan " << report->plans << " differs\n" << report->difference;
      return 1;
    }
    std::cout << report->plans << " plans of " << report->requests << " requests reproduced\n";
    return 0;
  }

 private:
  std::string file_;
};

}  // namespace

std::unique_ptr<Command> NewReplayCommand() { return std::make_unique<ReplayCommand>(); }

}  // namespace hocket
