// How much a request may ask of sampling, stopping and output. The service refuses more by the
// field's name, and a GenerationSpec checks itself by the same numbers. The contract (proto/) has
// them too.
#ifndef HOCKET_RUNTIME_GENERATION_LIMITS_H_
#define HOCKET_RUNTIME_GENERATION_LIMITS_H_

#include <cstdint>

namespace hocket {

inline constexpr int32_t kMaxStopStrings = 64;
inline constexpr int32_t kMaxStopStringBytes = 1024;
inline constexpr int32_t kMaxStopTokens = 1024;
inline constexpr int32_t kMaxTopLogprobs = 20;
inline constexpr int32_t kMaxBeamWidth = 64;
inline constexpr int32_t kMaxLogitBiases = 4096;
inline constexpr int32_t kMaxListedTokens = 65536;  // Allowed, or banned.
inline constexpr int32_t kMaxBadWords = 256;
inline constexpr int32_t kMaxBadWordBytes = 256;
inline constexpr int32_t kMaxSequenceBreakers = 64;
inline constexpr int32_t kMaxSequenceBreakerBytes = 64;

}  // namespace hocket

#endif  // HOCKET_RUNTIME_GENERATION_LIMITS_H_
