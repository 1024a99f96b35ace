// The kernels behind int8_dot.h, one for each instruction set. Only int8_dot.cc and the kernels'
// own sources include this.
#ifndef HOCKET_RUNTIME_KERNELS_INT8_DOT_KERNELS_H_
#define HOCKET_RUNTIME_KERNELS_INT8_DOT_KERNELS_H_

#include "runtime/kernels/int8_dot.h"

namespace hocket {

extern const Int8DotKernel kPortableDot;

#if defined(__x86_64__)
// Each may be called only where its instructions are.
bool HasAvx512Vnni();
extern const Int8DotKernel kAvx512VnniDot;
bool HasAvxVnni();
extern const Int8DotKernel kAvxVnniDot;
bool HasAvx2();
extern const Int8DotKernel kAvx2Dot;
#endif

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_INT8_DOT_KERNELS_H_
