// Philox4x32-10, the counter-based random generator of Salmon, Moraes, Dror and Shaw, "Parallel
// Random Numbers: As Easy as 1, 2, 3" (SC 2011). A pure function: the same key and counter give the
// same numbers on every machine, so a draw depends on its own place only. Any thread.
#ifndef HOCKET_RUNTIME_SAMPLING_PHILOX_H_
#define HOCKET_RUNTIME_SAMPLING_PHILOX_H_

#include <array>
#include <cstdint>

namespace hocket {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

constexpr PhiloxCounter Philox4x32(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// What a random number is for; keeps the streams of later features apart.
enum class RandomPurpose : uint32_t { kToken = 0, kXtc = 1 };

// 64 uniform bits for one place: `position` is that of the drawn token in its sequence (prompt
// tokens included), `choice_index` says which of the request's choices.
constexpr uint64_t RandomBits(uint64_t seed, uint32_t choice_index, uint32_t position,
                              RandomPurpose purpose = RandomPurpose::kToken) {
  const PhiloxCounter out =
      Philox4x32({position, choice_index, static_cast<uint32_t>(purpose), 0},
                 {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return uint64_t{out[1]} << 32 | out[0];
}

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_PHILOX_H_
