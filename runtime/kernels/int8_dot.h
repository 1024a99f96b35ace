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

// The multipliers of an int4 panel.
struct DotGroups {
  const uint8_t* multipliers = nullptr;  // [groups][32]
  int64_t inputs = 0;                    // Of a group, 32 or 128.
};

// Where sums of products go: int32 [rows.count][stride], of which 32 columns are written.
struct DotSums {
  int32_t* data = nullptr;
  int64_t stride = 0;  // In elements.
};

struct Int8DotKernel {
  const char* name;

  // Bytes that an input takes in prepared rows, [rows][inputs * prepared_bytes]; 0 when dot_int8
  // reads rows as they are. Prepared rows are signed: their sums lack the 128 of each input.
  int64_t prepared_bytes;
  void (*prepare_rows)(const DotRows& rows, int64_t inputs, uint8_t* prepared);

  void (*dot_int8)(const DotRows& rows, const int8_t* panel, int64_t inputs, const DotSums& sums);

  // From the packed weights, for fewer rows than int4_unpack_rows. All of int4 reads rows as they
  // are.
  int64_t int4_unpack_rows;
  void (*dot_int4)(const DotRows& rows, const uint8_t* panel, const DotGroups& groups,
                   int64_t inputs, const DotSums& sums);

  // For more rows: the panel is unpacked once, in the form that dot_unpacked takes.
  void (*unpack_int4)(const uint8_t* panel, const DotGroups& groups, int64_t inputs,
                      int8_t* unpacked);
  void (*dot_unpacked)(const DotRows& rows, const int8_t* unpacked, const DotGroups& groups,
                       int64_t inputs, const DotSums& sums);
};

// The fastest that this CPU can run, and all of them, for tests.
const Int8DotKernel& BestInt8DotKernel();
std::vector<const Int8DotKernel*> SupportedInt8DotKernels();

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_INT8_DOT_H_
