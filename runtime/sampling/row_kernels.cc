#include "runtime/sampling/row_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/sampling/row_kernels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/sampling/row_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hocket::row_kernels {
namespace HWY_NAMESPACE {

Scan ScanRow(const float* logits, size_t n, float* chunk_max) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  VF unordered = hn::Zero(d);  // All bits of a lane set once it saw a NaN.
  float row_max = kLowest;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    const size_t end = HWY_MIN(begin + kChunk, n);
    VF max = hn::Set(d, kLowest);
    const auto look = [&](VF v) HWY_ATTR {
      max = hn::Max(max, v);
      unordered = hn::Or(unordered, hn::VecFromMask(d, hn::Not(hn::Eq(v, v))));
    };
    size_t i = begin;
    for (; i + lanes <= end; i += lanes) look(hn::LoadU(d, logits + i));
    if (i < end) look(LoadTail(logits + i, end - i, kLowest));
    const float largest = hn::GetLane(hn::MaxOfLanes(d, max));
    chunk_max[begin / kChunk] = largest;
    row_max = HWY_MAX(row_max, largest);
  }
  const bool has_nan = !hn::AllTrue(d, hn::Eq(unordered, hn::Zero(d)));
  return {row_max, has_nan};
}

uint64_t SumWeights(const float* logits, size_t n, const float* chunk_max, float max,
                    float inverse_temperature, uint64_t* chunk_sums) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const RelativeOf relative_of(max, inverse_temperature);
  uint64_t total = 0;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    uint64_t& chunk_sum = chunk_sums[begin / kChunk];
    chunk_sum = 0;
    if (RelativeOf::AllNegligible(chunk_max[begin / kChunk], max, inverse_temperature)) continue;
    const size_t end = HWY_MIN(begin + kChunk, n);
    WeightSum sum;
    size_t i = begin;
    for (; i + lanes <= end; i += lanes) sum.Add(relative_of(hn::LoadU(d, logits + i)));
    // The fill is no logit: were it equal to `max`, it would weigh.
    if (i < end) {
      sum.Add(hn::IfThenElseZero(hn::FirstN(d, end - i),
                                 relative_of(LoadTail(logits + i, end - i, kLowest))));
    }
    chunk_sum = sum.Total();
    total += chunk_sum;
  }
  return total;
}

uint64_t StoreRelative(const float* logits, size_t n, float max, float inverse_temperature,
                       float* relative) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const RelativeOf relative_of(max, inverse_temperature);
  uint64_t total = 0;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    const size_t end = HWY_MIN(begin + kChunk, n);
    WeightSum sum;
    const auto store = [&](VF value, size_t i) HWY_ATTR {
      hn::StoreU(value, d, relative + i);
      sum.Add(value);
    };
    size_t i = begin;
    for (; i + lanes <= end; i += lanes) store(relative_of(hn::LoadU(d, logits + i)), i);
    if (i < end) {
      store(hn::IfThenElseZero(hn::FirstN(d, end - i),
                               relative_of(LoadTail(logits + i, end - i, kLowest))),
            i);
    }
    total += sum.Total();
  }
  return total;
}

size_t CollectAtLeast(const float* logits, size_t n, const float* chunk_max, float bound,
                      float* keys, int32_t* ids) {
  const DF d;
  const DI di;
  const size_t lanes = hn::Lanes(d);
  const VF vbound = hn::Set(d, bound);
  size_t count = 0;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    if (chunk_max != nullptr && chunk_max[begin / kChunk] < bound) continue;
    const size_t end = HWY_MIN(begin + kChunk, n);
    const auto take = [&](VF v, hn::Mask<DF> keep, size_t first) HWY_ATTR {
      const Compressor kept(keep);
      kept.Store(v, keys + count);
      kept.Store(hn::Iota(di, static_cast<int32_t>(first)), ids + count);
      count += hn::CountTrue(d, keep);
    };
    size_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      const VF v = hn::LoadU(d, logits + i);
      const auto keep = hn::Ge(v, vbound);
      if (!hn::AllFalse(d, keep)) take(v, keep, i);
    }
    if (i < end) {
      const VF v = LoadTail(logits + i, end - i, kLowest);
      take(v, hn::And(hn::Ge(v, vbound), hn::FirstN(d, end - i)), i);
    }
  }
  return count;
}

template <bool kOrEqual>
HWY_INLINE size_t Count(const float* logits, size_t n, float value) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const VF bound = hn::Set(d, value);
  size_t count = 0;
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VF v = hn::LoadU(d, logits + i);
    count += hn::CountTrue(d, kOrEqual ? hn::Ge(v, bound) : hn::Gt(v, bound));
  }
  for (; i < n; ++i) count += kOrEqual ? logits[i] >= value : logits[i] > value;
  return count;
}

size_t CountAbove(const float* logits, size_t n, float value) {
  return Count<false>(logits, n, value);
}

size_t CountAtLeast(const float* logits, size_t n, float value) {
  return Count<true>(logits, n, value);
}

KeyRange WeighingKeys(const float* keys, const float* relative, size_t count) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const VF negligible = hn::Set(d, kNegligible);
  VF low = hn::Set(d, -kLowest);
  VF high = hn::Set(d, kLowest);
  const auto look = [&](VF key, VF value) HWY_ATTR {
    const auto weighs = hn::Gt(value, negligible);
    low = hn::Min(low, hn::IfThenElse(weighs, key, hn::Set(d, -kLowest)));
    high = hn::Max(high, hn::IfThenElse(weighs, key, hn::Set(d, kLowest)));
  };
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    look(hn::LoadU(d, keys + i), hn::LoadU(d, relative + i));
  }
  if (i < count) {
    look(LoadTail(keys + i, count - i, kLowest), LoadTail(relative + i, count - i, 0.0f));
  }
  return {hn::GetLane(hn::MinOfLanes(d, low)), hn::GetLane(hn::MaxOfLanes(d, high))};
}

HWY_INLINE hn::Vec<DI> BucketOf(VF keys, VF high, VF scale) {
  const DF d;
  const VF place = hn::Max(hn::Mul(hn::Sub(high, keys), scale), hn::Zero(d));
  return hn::ConvertTo(DI(), hn::Min(place, hn::Set(d, static_cast<float>(kBuckets - 1))));
}

void AddToBuckets(const float* keys, const float* relative, size_t count, const Buckets& buckets,
                  uint64_t* sums) {
  const DF d;
  const DI di;
  const size_t lanes = hn::Lanes(d);
  const VF high = hn::Set(d, buckets.high);
  const VF scale = hn::Set(d, buckets.scale);
  HWY_ALIGN int32_t places[kChunk + kSlack];
  HWY_ALIGN uint64_t weights[kChunk + kSlack];
  for (size_t begin = 0; begin < count; begin += kChunk) {
    const size_t end = HWY_MIN(begin + kChunk, count);
    for (size_t i = begin; i < end; i += lanes) {
      const bool whole = i + lanes <= end;
      const VF key = whole ? hn::LoadU(d, keys + i) : LoadTail(keys + i, end - i, buckets.high);
      const VF value = whole ? hn::LoadU(d, relative + i) : LoadTail(relative + i, end - i, 0.0f);
      hn::StoreU(BucketOf(key, high, scale), di, places + (i - begin));
      StoreWeights(value, weights + (i - begin));
    }
    for (size_t i = 0; i < end - begin; ++i) sums[places[i]] += weights[i];
  }
}

size_t KeepBucket(const Candidates& from, const Buckets& buckets, int32_t bucket, float* keys,
                  float* relative, int32_t* ids) {
  const DF d;
  const DI di;
  const size_t lanes = hn::Lanes(d);
  const VF high = hn::Set(d, buckets.high);
  const VF scale = hn::Set(d, buckets.scale);
  const VF negligible = hn::Set(d, kNegligible);
  const auto wanted = hn::Set(di, bucket);
  size_t count = 0;
  for (size_t i = 0; i < from.count; i += lanes) {
    const size_t rest = from.count - i;
    const VF key =
        rest >= lanes ? hn::LoadU(d, from.keys + i) : LoadTail(from.keys + i, rest, kLowest);
    const VF value =
        rest >= lanes ? hn::LoadU(d, from.relative + i) : LoadTail(from.relative + i, rest, 0.0f);
    const auto inside = hn::RebindMask(d, hn::Eq(BucketOf(key, high, scale), wanted));
    const auto keep = hn::And(inside, hn::Gt(value, negligible));
    if (hn::AllFalse(d, keep)) continue;
    HWY_ALIGN int32_t tail_ids[16];
    if (from.ids != nullptr && rest < lanes) {
      for (size_t j = 0; j < lanes; ++j) tail_ids[j] = j < rest ? from.ids[i + j] : 0;
    }
    const auto id = from.ids == nullptr ? hn::Iota(di, from.Id(i))
                                        : hn::LoadU(di, rest >= lanes ? from.ids + i : tail_ids);
    const Compressor kept(keep);
    kept.Store(key, keys + count);
    kept.Store(value, relative + count);
    kept.Store(id, ids + count);
    count += hn::CountTrue(d, keep);
  }
  return count;
}

uint64_t SumKept(const Candidates& candidates, const Cut& cut, uint64_t* chunk_sums) {
  const DF d;
  const DI di;
  const size_t lanes = hn::Lanes(d);
  const VF cut_key = hn::Set(d, cut.key);
  const auto cut_id = hn::Set(di, cut.id);
  uint64_t total = 0;
  for (size_t begin = 0; begin < candidates.count; begin += kChunk) {
    const size_t end = HWY_MIN(begin + kChunk, candidates.count);
    WeightSum sum;
    size_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      const VF key = hn::LoadU(d, candidates.keys + i);
      const auto id = candidates.ids == nullptr ? hn::Iota(di, candidates.Id(i))
                                                : hn::LoadU(di, candidates.ids + i);
      const auto tie_kept =
          hn::And(hn::Eq(key, cut_key), hn::Not(hn::RebindMask(d, hn::Gt(id, cut_id))));
      sum.Add(hn::IfThenElseZero(hn::Or(hn::Gt(key, cut_key), tie_kept),
                                 hn::LoadU(d, candidates.relative + i)));
    }
    uint64_t chunk = sum.Total();
    for (; i < end; ++i) {
      if (cut.Keeps(candidates.keys[i], candidates.Id(i))) chunk += Weight(candidates.relative[i]);
    }
    chunk_sums[begin / kChunk] = chunk;
    total += chunk;
  }
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket::row_kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket::row_kernels {

HWY_EXPORT(ScanRow);
HWY_EXPORT(SumWeights);
HWY_EXPORT(StoreRelative);
HWY_EXPORT(CollectAtLeast);
HWY_EXPORT(CountAbove);
HWY_EXPORT(CountAtLeast);
HWY_EXPORT(WeighingKeys);
HWY_EXPORT(AddToBuckets);
HWY_EXPORT(KeepBucket);
HWY_EXPORT(SumKept);

Scan ScanRow(const float* logits, size_t n, float* chunk_max) {
  return HWY_DYNAMIC_DISPATCH(ScanRow)(logits, n, chunk_max);
}
uint64_t SumWeights(const float* logits, size_t n, const float* chunk_max, float max,
                    float inverse_temperature, uint64_t* chunk_sums) {
  return HWY_DYNAMIC_DISPATCH(SumWeights)(logits, n, chunk_max, max, inverse_temperature,
                                          chunk_sums);
}
uint64_t StoreRelative(const float* logits, size_t n, float max, float inverse_temperature,
                       float* relative) {
  return HWY_DYNAMIC_DISPATCH(StoreRelative)(logits, n, max, inverse_temperature, relative);
}
size_t CollectAtLeast(const float* logits, size_t n, const float* chunk_max, float bound,
                      float* keys, int32_t* ids) {
  return HWY_DYNAMIC_DISPATCH(CollectAtLeast)(logits, n, chunk_max, bound, keys, ids);
}
size_t CountAbove(const float* logits, size_t n, float value) {
  return HWY_DYNAMIC_DISPATCH(CountAbove)(logits, n, value);
}
size_t CountAtLeast(const float* logits, size_t n, float value) {
  return HWY_DYNAMIC_DISPATCH(CountAtLeast)(logits, n, value);
}
KeyRange WeighingKeys(const float* keys, const float* relative, size_t count) {
  return HWY_DYNAMIC_DISPATCH(WeighingKeys)(keys, relative, count);
}
void AddToBuckets(const float* keys, const float* relative, size_t count, const Buckets& buckets,
                  uint64_t* sums) {
  HWY_DYNAMIC_DISPATCH(AddToBuckets)(keys, relative, count, buckets, sums);
}
size_t KeepBucket(const Candidates& candidates, const Buckets& buckets, int32_t bucket, float* keys,
                  float* relative, int32_t* ids) {
  return HWY_DYNAMIC_DISPATCH(KeepBucket)(candidates, buckets, bucket, keys, relative, ids);
}
uint64_t SumKept(const Candidates& candidates, const Cut& cut, uint64_t* chunk_sums) {
  return HWY_DYNAMIC_DISPATCH(SumKept)(candidates, cut, chunk_sums);
}

}  // namespace hocket::row_kernels
#endif  // HWY_ONCE
