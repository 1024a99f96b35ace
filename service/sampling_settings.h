// The sampling part of a request's settings: read and checked, told back, and what of it needs the
// tokenizer. Pure but for the seed, which is drawn when none is given; any thread.
#ifndef HOCKET_SERVICE_SAMPLING_SETTINGS_H_
#define HOCKET_SERVICE_SAMPLING_SETTINGS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hocket/v1/generation.pb.h"
#include "runtime/generation_spec.h"
#include "runtime/model_runtime.h"
#include "service/model_text.h"

namespace hocket {

// `settings` without a draw: greedy, and with every filter off. Biases, bans and penalties stay.
SamplingSettings WithoutDraw(SamplingSettings settings);

// The name of the first setting, temperature and filters, that needs a draw to act; empty for none.
absl::string_view DrawSettingInUse(const SamplingSettings& settings);

// INVALID_ARGUMENT naming the field, its value and the range. Where nothing `draws` (beam search),
// the model's recommendations about the draw do not count and the request's own are refused.
absl::StatusOr<SamplingSettings> ReadSampling(const v1::SamplingSettings& in, const ModelInfo& info,
                                              bool draws = true);

// Every setting as used.
v1::SamplingSettings EchoSampling(const SamplingSettings& settings);

// Fills `bad_word_tokens`: each bad word as its tokens are at the beginning of a text and after a
// space. INVALID_ARGUMENT naming the word where the tokenizer refuses it.
absl::Status EncodeBadWords(const ModelText& text, SamplingSettings& settings);

}  // namespace hocket

#endif  // HOCKET_SERVICE_SAMPLING_SETTINGS_H_
