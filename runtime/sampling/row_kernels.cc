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

uint64_t SumWeights(const float* logits, size_t n, float max, float inverse_temperature,
                    uint64_t* chunk_sums) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const VF vmax = hn::Set(d, max);
  const VF scale = hn::Set(d, inverse_temperature);
  uint64_t total = 0;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    const size_t end = HWY_MIN(begin + kChunk, n);
    WeightSum sum;
    size_t i = begin;
    for (; i + lanes <= end; i += lanes) sum.Add(Relative(hn::LoadU(d, logits + i), vmax, scale));
    // The fill is no logit: were it equal to `max`, it would weigh.
    if (i < end) {
      const auto present = hn::FirstN(d, end - i);
      sum.Add(hn::IfThenElseZero(present,
                                 Relative(LoadTail(logits + i, end - i, kLowest), vmax, scale)));
    }
    chunk_sums[begin / kChunk] = sum.Total();
    total += chunk_sums[begin / kChunk];
  }
  return total;
}

uint64_t StoreRelative(const float* logits, size_t n, float max, float inverse_temperature,
                       float* relative) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const VF vmax = hn::Set(d, max);
  const VF scale = hn::Set(d, inverse_temperature);
  WeightSum sum;
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VF value = Relative(hn::LoadU(d, logits + i), vmax, scale);
    hn::StoreU(value, d, relative + i);
    sum.Add(value);
  }
  if (i < n) {
    const VF value = hn::IfThenElseZero(
        hn::FirstN(d, n - i), Relative(LoadTail(logits + i, n - i, kLowest), vmax, scale));
    hn::StoreU(value, d, relative + i);
    sum.Add(value);
  }
  return sum.Total();
}

size_t CollectAtLeast(const float* logits, size_t n, const float* chunk_max, float bound,
                      float* keys, int32_t* ids) {
  const DF d;
  const DI di;
  const size_t lanes = hn::Lanes(d);
  const VF vbound = hn::Set(d, bound);
  size_t count = 0;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    if (chunk_max[begin / kChunk] < bound) continue;
    const size_t end = HWY_MIN(begin + kChunk, n);
    const auto take = [&](VF v, hn::Mask<DF> keep, size_t first) HWY_ATTR {
      StoreCompressed(d, v, keep, keys + count);
      StoreCompressed(di, hn::Iota(di, static_cast<int32_t>(first)), hn::RebindMask(di, keep),
                      ids + count);
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

Split SumAround(const Candidates& candidates, float pivot) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const VF vpivot = hn::Set(d, pivot);
  WeightSum above;
  WeightSum equal;
  const auto add = [&](VF key, VF relative) HWY_ATTR {
    above.Add(hn::IfThenElseZero(hn::Gt(key, vpivot), relative));
    equal.Add(hn::IfThenElseZero(hn::Eq(key, vpivot), relative));
  };
  size_t i = 0;
  for (; i + lanes <= candidates.count; i += lanes) {
    add(hn::LoadU(d, candidates.keys + i), hn::LoadU(d, candidates.relative + i));
  }
  if (i < candidates.count) {
    const size_t rest = candidates.count - i;
    add(LoadTail(candidates.keys + i, rest, kLowest),
        LoadTail(candidates.relative + i, rest, 0.0f));
  }
  return {above.Total(), equal.Total()};
}

template <bool kAbove>
HWY_INLINE size_t Keep(const Candidates& from, float pivot, float* keys, float* relative,
                       int32_t* ids) {
  const DF d;
  const DI di;
  const size_t lanes = hn::Lanes(d);
  const VF vpivot = hn::Set(d, pivot);
  size_t count = 0;
  size_t i = 0;
  for (; i + lanes <= from.count; i += lanes) {
    const VF key = hn::LoadU(d, from.keys + i);
    const VF value = hn::LoadU(d, from.relative + i);
    const auto id =
        from.ids == nullptr ? hn::Iota(di, static_cast<int32_t>(i)) : hn::LoadU(di, from.ids + i);
    const auto keep = kAbove ? hn::Gt(key, vpivot) : hn::Lt(key, vpivot);
    if (hn::AllFalse(d, keep)) continue;
    StoreCompressed(d, key, keep, keys + count);
    StoreCompressed(d, value, keep, relative + count);
    StoreCompressed(di, id, hn::RebindMask(di, keep), ids + count);
    count += hn::CountTrue(d, keep);
  }
  for (; i < from.count; ++i) {
    const float key = from.keys[i];
    if (kAbove ? !(key > pivot) : !(key < pivot)) continue;
    keys[count] = key;
    relative[count] = from.relative[i];
    ids[count++] = from.Id(i);
  }
  return count;
}

size_t KeepAbove(const Candidates& from, float pivot, float* keys, float* relative, int32_t* ids) {
  return Keep<true>(from, pivot, keys, relative, ids);
}

size_t KeepBelow(const Candidates& from, float pivot, float* keys, float* relative, int32_t* ids) {
  return Keep<false>(from, pivot, keys, relative, ids);
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
      const auto id = candidates.ids == nullptr ? hn::Iota(di, static_cast<int32_t>(i))
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
HWY_EXPORT(SumAround);
HWY_EXPORT(KeepAbove);
HWY_EXPORT(KeepBelow);
HWY_EXPORT(SumKept);

Scan ScanRow(const float* logits, size_t n, float* chunk_max) {
  return HWY_DYNAMIC_DISPATCH(ScanRow)(logits, n, chunk_max);
}
uint64_t SumWeights(const float* logits, size_t n, float max, float inverse_temperature,
                    uint64_t* chunk_sums) {
  return HWY_DYNAMIC_DISPATCH(SumWeights)(logits, n, max, inverse_temperature, chunk_sums);
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
Split SumAround(const Candidates& candidates, float pivot) {
  return HWY_DYNAMIC_DISPATCH(SumAround)(candidates, pivot);
}
size_t KeepAbove(const Candidates& candidates, float pivot, float* keys, float* relative,
                 int32_t* ids) {
  return HWY_DYNAMIC_DISPATCH(KeepAbove)(candidates, pivot, keys, relative, ids);
}
size_t KeepBelow(const Candidates& candidates, float pivot, float* keys, float* relative,
                 int32_t* ids) {
  return HWY_DYNAMIC_DISPATCH(KeepBelow)(candidates, pivot, keys, relative, ids);
}
uint64_t SumKept(const Candidates& candidates, const Cut& cut, uint64_t* chunk_sums) {
  return HWY_DYNAMIC_DISPATCH(SumKept)(candidates, cut, chunk_sums);
}

}  // namespace hocket::row_kernels
#endif  // HWY_ONCE
