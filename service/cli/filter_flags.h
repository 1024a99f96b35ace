// The flags of the filters and penalties beyond temperature, top-k and top-p, for the commands that
// generate. A flag that is not given leaves the default. Main thread.
#ifndef HOCKET_SERVICE_CLI_FILTER_FLAGS_H_
#define HOCKET_SERVICE_CLI_FILTER_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/generation_spec.h"
#include "runtime/model_runtime.h"

namespace CLI {
class App;
}

namespace hocket {

class FilterFlags {
 public:
  void Add(CLI::App& app);

  // Writes what was given over `settings`. INVALID_ARGUMENT naming the flag for tokens that the
  // model does not have, and for flags that need another.
  absl::Status Apply(const ModelInfo& info, SamplingSettings& settings) const;

 private:
  void AddFilters(CLI::App& app);
  void AddPenalties(CLI::App& app);
  void AddDry(CLI::App& app);
  void AddTokenLists(CLI::App& app);
  absl::Status ApplyDry(SamplingSettings& settings) const;
  absl::Status ApplyTokenLists(const ModelInfo& info, SamplingSettings& settings) const;

  std::optional<float> min_p_, typical_p_, top_n_sigma_, xtc_probability_, xtc_threshold_;
  std::optional<float> repetition_penalty_, presence_penalty_, frequency_penalty_;
  std::optional<int32_t> penalty_window_;
  std::optional<float> dry_multiplier_, dry_base_;
  std::optional<int32_t> dry_allowed_length_, dry_window_;
  std::vector<std::string> dry_breakers_;
  std::vector<std::string> logit_biases_;
  std::vector<TokenId> allowed_tokens_, banned_tokens_;
  std::vector<std::string> bad_words_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_FILTER_FLAGS_H_
