// The flags of how many answers there are and how they are found: choices, beam search, drafts and
// what happens when the context is full. For `hocket generate`. Main thread.
#ifndef HOCKET_SERVICE_CLI_CHOICE_FLAGS_H_
#define HOCKET_SERVICE_CLI_CHOICE_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/generation_spec.h"
#include "runtime/model_runtime.h"
#include "service/choice_settings.h"
#include "service/context_settings.h"

namespace CLI {
class App;
}

namespace hocket {

class ChoiceFlags {
 public:
  void Add(CLI::App& app);

  // INVALID_ARGUMENT naming the flag that contradicts another.
  absl::Status Check() const;

  bool beam() const { return beam_width_.has_value(); }
  // Whether there may be more than one answer, or they are ranked: these come at the end.
  bool several() const { return beam() || n_ > 1 || best_of_.value_or(1) > 1; }

  // What a spec's defaults are made from: `info`, without its recommendations about the draw where
  // nothing is drawn.
  ModelInfo Recommending(ModelInfo info) const;

  // How much may be generated from a prompt of this length, and the sequences behind it; completes
  // `spec`. INVALID_ARGUMENT naming the flag.
  absl::StatusOr<RequestShape> Apply(const ModelInfo& info, int64_t prompt_tokens,
                                     GenerationSpec& spec, int32_t& max_new_tokens) const;

 private:
  absl::Status CheckBeam() const;
  absl::Status CheckDraws(const GenerationSpec& spec) const;
  absl::StatusOr<ContextSettings> Context(const ModelInfo& info) const;
  ChoiceSettings Choices() const;

  int32_t n_ = 1;
  std::optional<int32_t> best_of_;
  std::optional<int32_t> beam_width_;
  std::optional<float> length_penalty_;
  std::optional<std::string> early_stopping_;
  std::optional<std::string> context_policy_;
  bool stop_at_context_ = false;  // The policy's older name.
  int32_t kept_tokens_ = 0;
  std::string speculation_ = "off";
  SpeculationSettings drafts_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_CHOICE_FLAGS_H_
