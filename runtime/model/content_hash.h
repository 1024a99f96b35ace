// A 64-bit hash of bytes, to tell whether contents are what they were. Stable across processes and
// versions, since files keep it; no protection against forgery. Pure; any thread.
#ifndef HOCKET_RUNTIME_MODEL_CONTENT_HASH_H_
#define HOCKET_RUNTIME_MODEL_CONTENT_HASH_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/kernels/team.h"

namespace hocket {

// About a word per cycle: large contents are read as fast as memory gives them.
uint64_t HashBytes(std::span<const std::byte> bytes);
uint64_t HashText(std::string_view text);

// The hash of the hashes of `bytes`' parts of 4 MiB, which the team computes side by side.
uint64_t HashLargeBytes(std::span<const std::byte> bytes, Team& team);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_CONTENT_HASH_H_
