#include "runtime/kernels/int8_product.h"

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/int8_product.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/kernels/activation-inl.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

template <class D>
HWY_INLINE hn::Vec<D> Finished(D d, const int32_t* HWY_RESTRICT sums, float row_scale,
                               const PanelScales& panel, size_t i) {
  const hn::Rebind<int32_t, D> di;
  const auto sum = hn::Sub(hn::LoadU(di, sums + i), hn::LoadU(di, panel.compensation + i));
  const auto scale = hn::Mul(hn::Set(d, row_scale), hn::LoadU(d, panel.scales + i));
  const auto product = hn::Mul(hn::ConvertTo(d, sum), scale);
  return panel.bias == nullptr ? product : hn::Add(product, hn::LoadU(d, panel.bias + i));
}

void Finish(const int32_t* sums, float row_scale, const PanelScales& panel, size_t columns,
            float* y) {
  ForEachVector(columns, [&](auto d, size_t i) HWY_ATTR {
    hn::StoreU(Finished(d, sums, row_scale, panel, i), d, y + i);
  });
}

void FinishAdding(const int32_t* sums, float row_scale, const PanelScales& panel, size_t columns,
                  float* y) {
  ForEachVector(columns, [&](auto d, size_t i) HWY_ATTR {
    const auto product = Finished(d, sums, row_scale, panel, i);
    hn::StoreU(hn::Add(hn::LoadU(d, y + i), product), d, y + i);
  });
}

void FinishGated(const int32_t* gate_sums, const int32_t* up_sums, float row_scale,
                 const PanelScales& gate, const PanelScales& up, size_t columns, float* y) {
  ForEachVector(columns, [&](auto d, size_t i) HWY_ATTR {
    const auto gate_product = Finished(d, gate_sums, row_scale, gate, i);
    const auto up_product = Finished(d, up_sums, row_scale, up, i);
    hn::StoreU(SiluTimes(d, gate_product, up_product), d, y + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
HWY_EXPORT(Finish);
HWY_EXPORT(FinishAdding);
HWY_EXPORT(FinishGated);

void FinishRow(const int32_t* sums, float row_scale, const PanelScales& panel, int64_t columns,
               float* y) {
  HWY_DYNAMIC_DISPATCH(Finish)(sums, row_scale, panel, columns, y);
}
void FinishRowAdding(const int32_t* sums, float row_scale, const PanelScales& panel,
                     int64_t columns, float* y) {
  HWY_DYNAMIC_DISPATCH(FinishAdding)(sums, row_scale, panel, columns, y);
}
void FinishGatedRow(const int32_t* gate_sums, const int32_t* up_sums, float row_scale,
                    const PanelScales& gate, const PanelScales& up, int64_t columns, float* y) {
  HWY_DYNAMIC_DISPATCH(FinishGated)(gate_sums, up_sums, row_scale, gate, up, columns, y);
}
}  // namespace hocket
#endif
