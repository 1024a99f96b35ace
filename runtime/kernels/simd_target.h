// The instruction set that the Highway kernels run on.
#ifndef HOCKET_RUNTIME_KERNELS_SIMD_TARGET_H_
#define HOCKET_RUNTIME_KERNELS_SIMD_TARGET_H_

#include <string>

namespace hocket {

std::string SimdTargetName();  // "AVX2", "AVX3_DL", "NEON", ...

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_SIMD_TARGET_H_
