// Kernels on the instruction that adds four products of uint8 and int8 to an int32 (VNNI). Included
// once for each vector width, inside a namespace that defines, for that width:
//   Vec, kLanes (int32 lanes), kMostTileRows, Zero, Load, Store, Broadcast4 (4 bytes to all lanes),
//   Dot (the instruction), Add32, Multiply32, ShiftRight32<4>, ShiftLeft16<4>, ShiftRight16<4>,
//   KeepInRegister, And, Or, Set8, Set16, PairProducts (uint8 by int8, sums of pairs to int16),
//   WidenU8 (kLanes bytes to int32).

inline constexpr int kVectors = kPanelOutputs / kLanes;  // Of a panel's 32 outputs.
inline constexpr int64_t kStepBytes = kPanelOutputs * 4;
inline constexpr int64_t kInt4StepBytes = kStepBytes / 2;

// Sums of kRows rows. Several sets of sums for few rows: one chain of the instruction waits 4 or 5
// cycles between links.
template <int kRows>
void Tile(const uint8_t* x, int64_t stride, const uint8_t* weights, int64_t steps,
          const DotSums& sums) {
  constexpr int kSets = kRows * kVectors >= 8 ? 1 : kRows * kVectors >= 4 ? 2 : 4;
  Vec sum[kSets][kRows][kVectors];
#pragma GCC unroll 4
  for (int set = 0; set < kSets; ++set) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[set][r][v] = Zero();
    }
  }
  for (int64_t step = 0; step < steps; step += kSets) {
#pragma GCC unroll 4
    for (int set = 0; set < kSets; ++set) {
      const uint8_t* const w = weights + (step + set) * kStepBytes;
      __builtin_prefetch(w + kPrefetchBytes);
      __builtin_prefetch(w + kPrefetchBytes + 64);
      Vec input[kRows];
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) input[r] = Broadcast4(x + r * stride + (step + set) * 4);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Vec weight = Load(w + v * kLanes * 4);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          sum[set][r][v] = Dot(sum[set][r][v], input[r], weight);
          KeepInRegister(sum[set][r][v]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Vec total = sum[0][r][v];
#pragma GCC unroll 4
      for (int set = 1; set < kSets; ++set) total = Add32(total, sum[set][r][v]);
      Store(total, sums.data + r * sums.stride + v * kLanes);
    }
  }
}

using TileFunction = void (*)(const uint8_t*, int64_t, const uint8_t*, int64_t, const DotSums&);

template <int... kRowsLessOne>
constexpr std::array<TileFunction, sizeof...(kRowsLessOne)> Tiles(
    std::integer_sequence<int, kRowsLessOne...> /*rows*/) {
  return {&Tile<kRowsLessOne + 1>...};
}
inline constexpr auto kTiles = Tiles(std::make_integer_sequence<int, kMostTileRows>());

void DotInt8(const DotRows& rows, const DotPanel& panel, const DotSums& sums) {
  // As few tiles as will do, as even as can be.
  const int64_t tiles = (rows.count + kMostTileRows - 1) / kMostTileRows;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t begin = rows.count * tile / tiles;
    const int64_t end = rows.count * (tile + 1) / tiles;
    kTiles[end - begin - 1](rows.data + begin * rows.stride, rows.stride, panel.weights,
                            panel.inputs / 4, {sums.data + begin * sums.stride, sums.stride});
  }
}

// 16 times the weights, from one run of kLanes * 4 packed bytes.
inline Vec LowTimes16(Vec packed) { return And(ShiftLeft16<4>(packed), Set8(0xf0)); }
inline Vec HighTimes16(Vec packed) { return And(packed, Set8(0xf0)); }

template <int kRows>
void TileInt4(const uint8_t* x, int64_t stride, const DotPanel& panel, const DotSums& sums) {
  const int64_t steps = panel.inputs / 4;
  constexpr int kHalf = kVectors / 2;
  constexpr int kSets = kRows * kVectors >= 4 ? 1 : 2;
  Vec total[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) total[r][v] = Zero();
  }
  const int64_t group_steps = panel.group / 4;
  const uint8_t* multipliers = panel.multipliers;
  for (int64_t begin = 0; begin < steps; begin += group_steps, multipliers += kPanelOutputs) {
    const int64_t end = begin + group_steps < steps ? begin + group_steps : steps;
    Vec sum[kSets][kRows][kVectors];
#pragma GCC unroll 2
    for (int set = 0; set < kSets; ++set) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[set][r][v] = Zero();
      }
    }
    for (int64_t step = begin; step < end; step += kSets) {
#pragma GCC unroll 2
      for (int set = 0; set < kSets; ++set) {
        const uint8_t* const w = panel.weights + (step + set) * kInt4StepBytes;
        __builtin_prefetch(w + kPrefetchBytes);
        Vec input[kRows];
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) input[r] = Broadcast4(x + r * stride + (step + set) * 4);
#pragma GCC unroll 2
        for (int v = 0; v < kHalf; ++v) {
          const Vec packed = Load(w + v * kLanes * 4);
          const Vec low = LowTimes16(packed);
          const Vec high = HighTimes16(packed);
#pragma GCC unroll 8
          for (int r = 0; r < kRows; ++r) {
            sum[set][r][v] = Dot(sum[set][r][v], input[r], low);
            KeepInRegister(sum[set][r][v]);
            sum[set][r][v + kHalf] = Dot(sum[set][r][v + kHalf], input[r], high);
            KeepInRegister(sum[set][r][v + kHalf]);
          }
        }
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Vec multiplier = WidenU8(multipliers + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        Vec group_sum = sum[0][r][v];
        if constexpr (kSets == 2) group_sum = Add32(group_sum, sum[1][r][v]);
        total[r][v] = Add32(total[r][v], Multiply32(ShiftRight32<4>(group_sum), multiplier));
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Store(total[r][v], sums.data + r * sums.stride + v * kLanes);
    }
  }
}

using Int4TileFunction = void (*)(const uint8_t*, int64_t, const DotPanel&, const DotSums&);

template <int... kRowsLessOne>
constexpr std::array<Int4TileFunction, sizeof...(kRowsLessOne)> Int4Tiles(
    std::integer_sequence<int, kRowsLessOne...> /*rows*/) {
  return {&TileInt4<kRowsLessOne + 1>...};
}
inline constexpr auto kInt4Tiles = Int4Tiles(std::make_integer_sequence<int, kMostInt4TileRows>());

void DotInt4(const DotRows& rows, const DotPanel& panel, const DotSums& sums) {
  const int64_t tiles = (rows.count + kMostInt4TileRows - 1) / kMostInt4TileRows;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t begin = rows.count * tile / tiles;
    const int64_t end = rows.count * (tile + 1) / tiles;
    kInt4Tiles[end - begin - 1](rows.data + begin * rows.stride, rows.stride, panel,
                                {sums.data + begin * sums.stride, sums.stride});
  }
}

// The products of 16 times the weights with their multiplier, each a multiple of 16 that fits
// int16, back to bytes.
inline Vec TimesMultiplier(Vec times16, Vec even_multiplier, Vec odd_multiplier) {
  const Vec even = PairProducts(even_multiplier, times16);
  const Vec odd = PairProducts(odd_multiplier, times16);
  return Or(And(ShiftRight16<4>(even), Set16(0x00ff)), ShiftLeft16<4>(odd));
}

// To the int8 weights that the int4 ones and their multipliers stand for.
void UnpackInt4(const DotPanel& panel, uint8_t* unpacked) {
  constexpr int kHalf = kVectors / 2;
  const int64_t steps = panel.inputs / 4;
  const int64_t group_steps = panel.group / 4;
  const uint8_t* multipliers = panel.multipliers;
  for (int64_t begin = 0; begin < steps; begin += group_steps, multipliers += kPanelOutputs) {
    const int64_t end = begin + group_steps < steps ? begin + group_steps : steps;
    Vec even[kVectors];
    Vec odd[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Vec multiplier = WidenU8(multipliers + v * kLanes);
      even[v] = Or(multiplier, ShiftLeft32<16>(multiplier));
      odd[v] = ShiftLeft32<8>(even[v]);
    }
    for (int64_t step = begin; step < end; ++step) {
      const uint8_t* const from = panel.weights + step * kInt4StepBytes;
      uint8_t* const to = unpacked + step * kStepBytes;
#pragma GCC unroll 2
      for (int v = 0; v < kHalf; ++v) {
        const Vec packed = Load(from + v * kLanes * 4);
        Store(TimesMultiplier(LowTimes16(packed), even[v], odd[v]), to + v * kLanes * 4);
        Store(TimesMultiplier(HighTimes16(packed), even[v + kHalf], odd[v + kHalf]),
              to + (v + kHalf) * kLanes * 4);
      }
    }
  }
}
