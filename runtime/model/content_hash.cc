#include "runtime/model/content_hash.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

namespace hocket {
namespace {

constexpr size_t kPartBytes = size_t{4} << 20;
// Enough independent chains that multiplications never wait for each other.
constexpr size_t kLanes = 8;
constexpr uint64_t kOdd = 0x9E3779B97F4A7C15u;

// Both steps are bijections of the state: a change of one word always shows.
uint64_t Absorb(uint64_t state, uint64_t word) { return std::rotl(state ^ word, 29) * kOdd; }

uint64_t Finish(uint64_t state) {
  state = (state ^ state >> 32) * kOdd;
  state = (state ^ state >> 29) * kOdd;
  return state ^ state >> 32;
}

}  // namespace

uint64_t HashBytes(std::span<const std::byte> bytes) {
  uint64_t lanes[kLanes];
  for (size_t i = 0; i < kLanes; ++i) lanes[i] = kOdd * (i + 1);
  const std::byte* from = bytes.data();
  size_t left = bytes.size();
  uint64_t words[kLanes];
  for (; left >= sizeof(words); left -= sizeof(words), from += sizeof(words)) {
    std::memcpy(words, from, sizeof(words));
    for (size_t i = 0; i < kLanes; ++i) lanes[i] = Absorb(lanes[i], words[i]);
  }
  std::fill(std::begin(words), std::end(words), 0);
  if (left > 0) std::memcpy(words, from, left);
  uint64_t state = bytes.size();
  for (size_t i = 0; i < kLanes; ++i) {
    state = Finish(Absorb(state, Finish(Absorb(lanes[i], words[i]))));
  }
  return state;
}

uint64_t HashText(std::string_view text) {
  return HashBytes(std::as_bytes(std::span(text.data(), text.size())));
}

uint64_t HashLargeBytes(std::span<const std::byte> bytes, Team& team) {
  std::vector<uint64_t> parts((bytes.size() + kPartBytes - 1) / kPartBytes);
  team.Run([&](TeamMember& member) {
    member.ForEach(static_cast<int64_t>(parts.size()), [&](int64_t i) {
      const size_t begin = static_cast<size_t>(i) * kPartBytes;
      parts[i] = HashBytes(bytes.subspan(begin, std::min(kPartBytes, bytes.size() - begin)));
    });
  });
  return HashBytes(std::as_bytes(std::span(parts)));
}

}  // namespace hocket
