// Runs a test body once on every SIMD target that this CPU and this build have.
#ifndef HOCKET_TESTS_RUNTIME_KERNELS_SIMD_TARGETS_H_
#define HOCKET_TESTS_RUNTIME_KERNELS_SIMD_TARGETS_H_

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "hwy/highway.h"

namespace hocket {

// Targets with fused multiply-add, whose results are the same bits. SSE and scalar code round
// twice.
inline void OnEveryTarget(const std::function<void()>& body) {
  const int64_t old_targets = HWY_SSSE3 | HWY_SSE4 | HWY_EMU128 | HWY_SCALAR;
  int64_t targets = hwy::SupportedTargets() & HWY_TARGETS & ~old_targets;
  for (; targets != 0; targets &= targets - 1) {
    const int64_t target = targets & -targets;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

inline std::vector<float> RandomFloats(int64_t count, uint32_t seed, float scale = 1.0f) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    value = scale * static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
  }
  return values;
}

}  // namespace hocket

#endif  // HOCKET_TESTS_RUNTIME_KERNELS_SIMD_TARGETS_H_
