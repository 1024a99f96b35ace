// How many answers a request wants and how they are found (choices, beam search, drafts): checked,
// with defaults filled in, and back again as the client is told. Pure; any thread.
#ifndef HOCKET_SERVICE_CHOICE_SETTINGS_H_
#define HOCKET_SERVICE_CHOICE_SETTINGS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hocket/v1/generation.pb.h"
#include "runtime/generation_limits.h"
#include "runtime/generation_spec.h"
#include "scheduler/request.h"

namespace hocket {

inline constexpr int32_t kMaxChoices = 64;
inline constexpr int32_t kMaxDraftTokens = 32;

struct ChoiceSettings {
  int32_t n = 1;        // Returned.
  int32_t best_of = 1;  // Generated; n under beam search.
  std::optional<BeamSettings> beam = {};

  // More are generated than returned, so the best are chosen at the end.
  bool ranked() const { return !beam && best_of > n; }
};

struct SpeculationSettings {
  bool prompt_lookup = false;
  int32_t max_draft_tokens = 8;  // In [1, kMaxDraftTokens].
};

// The sequences behind a request, as the engine and the answer need to know them.
struct RequestShape {
  int32_t choices = 1;    // Returned.
  int32_t sequences = 1;  // Computed.
  bool ranked = false;    // As ChoiceSettings::ranked.
  bool beam = false;
  std::optional<int32_t> roll_kept_tokens = {};
  int32_t max_draft_tokens = 0;

  void Apply(Request& request) const;
  void Apply(const ChoiceSettings& settings, GenerationSpec& spec) const;
};

// INVALID_ARGUMENT naming the field, also where `request` contradicts itself: beam search with
// several candidates' ranking, resume, drafts or a rolling context; several choices with resume.
absl::StatusOr<ChoiceSettings> ReadChoices(const v1::GenerateRequest& request);

// INVALID_ARGUMENT where the choices of `settings` would all be equal.
absl::Status CheckChoicesDiffer(const ChoiceSettings& settings, const SamplingSettings& sampling);

// `prompt_lookup`: the server's default. Never on with beam search.
absl::StatusOr<SpeculationSettings> ReadSpeculation(const v1::GenerateRequest& request,
                                                    bool prompt_lookup);

// `max_new_tokens` as of the request: where nothing is generated, one sequence is enough.
RequestShape ShapeOf(const ChoiceSettings& choices, const SpeculationSettings& speculation,
                     std::optional<int32_t> roll_kept_tokens, int32_t max_new_tokens);

void EchoChoices(const ChoiceSettings& settings, v1::EffectiveSettings* out);
void EchoSpeculation(const SpeculationSettings& settings, v1::EffectiveSettings* out);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CHOICE_SETTINGS_H_
