// The gated activation of one vector, shared by the kernels that compute it: equal inputs give
// equal bits in all of them. Included once per target, from inside a kernel's own source after
// foreach_target.h.
#if defined(HOCKET_RUNTIME_KERNELS_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HOCKET_RUNTIME_KERNELS_ACTIVATION_INL_H_
#undef HOCKET_RUNTIME_KERNELS_ACTIVATION_INL_H_
#else
#define HOCKET_RUNTIME_KERNELS_ACTIVATION_INL_H_
#endif

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// silu(gate) * up, silu(x) = x / (1 + exp(-x)).
template <class D>
HWY_INLINE hn::Vec<D> SiluTimes(D d, hn::Vec<D> gate, hn::Vec<D> up) {
  // Beyond 80 the quotient is 0 to within f32, and exp(88.7) would be the largest finite value.
  const auto negated = hn::Min(hn::Neg(gate), hn::Set(d, 80.0f));
  const auto denominator = hn::Add(hn::Set(d, 1.0f), hn::Exp(d, negated));
  return hn::Mul(hn::Div(gate, denominator), up);
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#endif
