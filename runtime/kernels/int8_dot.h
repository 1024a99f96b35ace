// Integer products of a few rows with one panel of 32 outputs, for each instruction set: the inside
// of a quantized matrix's product. All kernels give the same sums. Stateless; any thread.
//
// A panel holds weights as int8 [inputs / 4][32][4], inputs being a multiple of 64 (oneDNN calls it
// BA16a32b4a). An int4 panel is half as long: byte j of each run of 64 holds byte j of the int8
// panel's run of 128 in its low half and byte j + 64 in its high half, both in two's complement.
#ifndef HOCKET_RUNTIME_KERNELS_INT8_DOT_H_
#define HOCKET_RUNTIME_KERNELS_INT8_DOT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hocket {

inline constexpr int64_t kPanelOutputs = 32;

// Rows as a kernel reads them: the bytes of RowFormat::kInt8, 128 more than the quantized values,
// or what prepare_rows made of them.
struct DotRows {
  const uint8_t* data = nullptr;
  int64_t stride = 0;  // In bytes.
  int64_t count = 0;
};

struct DotPanel {
  const uint8_t* weights = nullptr;      // As packed, or as unpacked by the kernel.
  const uint8_t* multipliers = nullptr;  // [groups][32], with int4.
  int64_t group = 0;                     // Inputs of a group, 32 or 128, with int4.
  int64_t inputs = 0;
};

// Where sums of row times weight go: int32 [rows.count][stride], of which 32 columns are written.
struct DotSums {
  int32_t* data = nullptr;
  int64_t stride = 0;  // In elements.
};

// How a kernel multiplies weights of one kind.
struct PanelKernel {
  // Bytes that an input takes in prepared rows [rows][inputs * prepared_bytes]; 0 when rows are
  // read as they are. Both dot functions take prepared rows.
  int64_t prepared_bytes = 0;
  void (*prepare_rows)(const DotRows& rows, int64_t inputs, uint8_t* prepared) = nullptr;

  void (*dot)(const DotRows& rows, const DotPanel& panel, const DotSums& sums) = nullptr;

  // From so many rows on it is faster to unpack the panel once, to unpacked_bytes a weight. 0:
  // never.
  int64_t unpack_rows = 0;
  int64_t unpacked_bytes = 0;
  bool unpacks_to_int8_panel = false;  // Or to a form of the kernel's own.
  void (*unpack)(const DotPanel& panel, uint8_t* unpacked) = nullptr;
  void (*dot_unpacked)(const DotRows& rows, const DotPanel& panel, const DotSums& sums) = nullptr;
};

struct Int8DotKernel {
  const char* name;
  PanelKernel int8;
  PanelKernel int4;
};

// The fastest that this CPU can run, and all of them, for tests.
const Int8DotKernel& BestInt8DotKernel();
std::vector<const Int8DotKernel*> SupportedInt8DotKernels();

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_INT8_DOT_H_
