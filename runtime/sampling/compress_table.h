// For each set of lanes of a vector of eight, the lanes in it by rising index, packed in nibbles:
// what an AVX2 permutation needs to move them to the front. A constant.
#ifndef HOCKET_RUNTIME_SAMPLING_COMPRESS_TABLE_H_
#define HOCKET_RUNTIME_SAMPLING_COMPRESS_TABLE_H_

#include <array>
#include <cstdint>

namespace hocket::row_kernels {

constexpr std::array<uint32_t, 256> MakeCompressTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t lanes = 0; lanes < 256; ++lanes) {
    uint32_t place = 0;
    for (uint32_t lane = 0; lane < 8; ++lane) {
      if ((lanes >> lane & 1) != 0) table[lanes] |= lane << (4 * place++);
    }
  }
  return table;
}

inline constexpr std::array<uint32_t, 256> kCompressTable = MakeCompressTable();

}  // namespace hocket::row_kernels

#endif  // HOCKET_RUNTIME_SAMPLING_COMPRESS_TABLE_H_
