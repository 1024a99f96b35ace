// The vectorized passes over one row of logits, for the widest instruction set of the machine
// (Highway, dynamic dispatch). Pure functions, callable from any thread.
//
// A token's weight is its probability relative to the most likely token's, in fixed point: the
// integer nearest to exp((logit - max) / temperature) * 2^40. Sums of weights are exact, so no
// result depends on the order of a sum: not on vector width, chunks or threads. Tokens below 2^-41
// of the most likely one weigh nothing; over 2^18 tokens they would add up to less than 2^-22.
#ifndef HOCKET_RUNTIME_SAMPLING_ROW_KERNELS_H_
#define HOCKET_RUNTIME_SAMPLING_ROW_KERNELS_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace hocket::row_kernels {

inline constexpr size_t kChunk = 128;  // Tokens summed up into one entry of a chunk array.
inline constexpr size_t kSlack = 16;   // Elements that compressed output arrays need past the end.
inline constexpr size_t kMaxTokens = size_t{1} << 22;  // Sums of weights stay below 2^63.

constexpr size_t Chunks(size_t tokens) { return (tokens + kChunk - 1) / kChunk; }

// The integer weight of a relative probability in [0, 1], as all kernels round it.
inline uint64_t Weight(float relative) {
  return std::bit_cast<uint64_t>(static_cast<double>(relative) * 0x1p40 + 0x1p52) -
         std::bit_cast<uint64_t>(0x1p52);
}

struct Scan {
  float max = 0;
  bool has_nan = false;  // `max` means nothing then.
};

// The largest logit of all and of each chunk, [Chunks(n)].
Scan ScanRow(const float* logits, size_t n, float* chunk_max);

// Weights summed by chunk, [Chunks(n)], and in all. A logit equal to `max` has the full weight even
// when both are infinite. `max` must be at least the largest logit and not -inf; `chunk_max` as
// ScanRow gave it.
uint64_t SumWeights(const float* logits, size_t n, const float* chunk_max, float max,
                    float inverse_temperature, uint64_t* chunk_sums);

// Writes the relative probabilities, [n + kSlack], whose Weight()s are meant, and returns their
// sum.
uint64_t StoreRelative(const float* logits, size_t n, float max, float inverse_temperature,
                       float* relative);

// Copies the logits that are at least `bound`, and their token ids, ascending; returns how many.
// Both outputs: [n + kSlack]. `chunk_max` null: every chunk is looked into.
size_t CollectAtLeast(const float* logits, size_t n, const float* chunk_max, float bound,
                      float* keys, int32_t* ids);

size_t CountAbove(const float* logits, size_t n, float value);
size_t CountAtLeast(const float* logits, size_t n, float value);

// Candidates: a key (logit), a relative probability and a token id each, ascending by id.
// `ids` null: the ids are first_id and those that follow it.
struct Candidates {
  const float* keys = nullptr;
  const float* relative = nullptr;
  const int32_t* ids = nullptr;
  size_t count = 0;
  int32_t first_id = 0;

  int32_t Id(size_t i) const {
    return ids == nullptr ? first_id + static_cast<int32_t>(i) : ids[i];
  }
};

// The lowest and the highest key among the candidates that weigh anything; low > high where none
// does. Candidates at most this likely weigh nothing.
struct KeyRange {
  float low = 0;
  float high = 0;
};
inline constexpr float kNegligible = 0x1p-42f;
KeyRange WeighingKeys(const float* keys, const float* relative, size_t count);

// Candidates by key, in buckets of equal width from `high` downwards: a higher key is never in a
// later bucket. The last one has all that is lower still.
inline constexpr size_t kBuckets = 2048;
struct Buckets {
  float high = 0;
  float scale = 0;  // Buckets per unit of key.
};
// Adds the candidates' weights to the sums of their buckets, [kBuckets]. No key is above `high`.
void AddToBuckets(const float* keys, const float* relative, size_t count, const Buckets& buckets,
                  uint64_t* sums);

// Copies the candidates of one bucket but those that weigh nothing; the outputs, [count + kSlack],
// may be the inputs. Returns how many.
size_t KeepBucket(const Candidates& candidates, const Buckets& buckets, int32_t bucket, float* keys,
                  float* relative, int32_t* ids);

// A place in the order of falling key, then rising id: all up to and including it are kept.
struct Cut {
  float key = 0;
  int32_t id = 0;

  bool Keeps(float other_key, int32_t other_id) const {
    return other_key > key || (other_key == key && other_id <= id);
  }
};

// The weight of the candidates that the cut keeps, by chunk of candidates and in all.
uint64_t SumKept(const Candidates& candidates, const Cut& cut, uint64_t* chunk_sums);

}  // namespace hocket::row_kernels

#endif  // HOCKET_RUNTIME_SAMPLING_ROW_KERNELS_H_
