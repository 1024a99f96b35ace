// The flags of sampling and stopping, for the commands that generate. A flag that is not given
// leaves the model's own recommendation. Main thread.
#ifndef HOCKET_SERVICE_CLI_SAMPLING_FLAGS_H_
#define HOCKET_SERVICE_CLI_SAMPLING_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/generation_spec.h"
#include "runtime/model_runtime.h"
#include "service/cli/constraint_flags.h"
#include "service/cli/filter_flags.h"
#include "service/model_text.h"

namespace CLI {
class App;
}

namespace hocket {

struct SamplingFlags {
  std::optional<float> temperature;
  std::optional<int32_t> top_k;
  std::optional<float> top_p;
  FilterFlags filters;
  ConstraintFlags constraint;
  std::optional<uint64_t> seed;
  int32_t max_new_tokens = 256;
  int32_t min_new_tokens = 0;
  std::vector<std::string> stop_strings;
  std::vector<TokenId> stop_tokens;
  bool ignore_eos = false;
  bool include_stop_string = false;
  bool stop_at_sentence_end = false;
  std::optional<double> time_limit_seconds;
  bool stop_at_repetition = false;
  std::optional<int32_t> repetition_pattern;
  std::optional<int32_t> repetition_repeats;

  // --temperature, --top-k and --top-p; left out by commands that have lists of them.
  void AddSampling(CLI::App& app);
  // Every other filter and penalty, constraints, --seed, --max-new-tokens, --min-new-tokens, --stop
  // and so on.
  void AddStopping(CLI::App& app);

  absl::Status Check() const;

  // The effective settings: flags over `info`'s recommendations over defaults, the seed drawn from
  // the system when not given. INVALID_ARGUMENT for tokens that the model does not have. `text`
  // turns texts into tokens where there are any.
  absl::StatusOr<GenerationSpec> MakeSpec(const ModelInfo& info, const ModelText& text) const;

 private:
  void AddOtherEnds(CLI::App& app);
  void FillStopping(StoppingSettings& stopping) const;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_SAMPLING_FLAGS_H_
