// A request's settings, checked and with defaults filled in, and back again as the client is told
// them. Pure but for the seed, which is drawn when none is given; any thread.
#ifndef HOCKET_SERVICE_SETTINGS_H_
#define HOCKET_SERVICE_SETTINGS_H_

#include "absl/status/statusor.h"
#include "hocket/v1/generation.pb.h"
#include "runtime/generation_spec.h"
#include "runtime/model_runtime.h"

namespace hocket {

// Sampling, stopping and output. INVALID_ARGUMENT or UNIMPLEMENTED naming the field.
// `stopping.max_new_tokens` is only checked against 0, and kept as given or at the default: the
// prompt's length is not known yet.
absl::StatusOr<GenerationSpec> ReadSettings(const v1::GenerateRequest& request,
                                            const ModelInfo& info);

// Sampling, stopping and output as used, but for what concerns only the answer's form.
v1::EffectiveSettings EffectiveSettingsOf(const GenerationSpec& spec);

}  // namespace hocket

#endif  // HOCKET_SERVICE_SETTINGS_H_
