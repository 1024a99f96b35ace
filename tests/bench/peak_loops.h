// What the probe measures the machine with: loops over registers that do nothing but multiply and
// add, one for each instruction set that this CPU has, and a loop that only reads memory. All are
// single-threaded and stateless; the probe runs them on as many threads as it likes.
#ifndef HOCKET_TESTS_BENCH_PEAK_LOOPS_H_
#define HOCKET_TESTS_BENCH_PEAK_LOOPS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hocket {

struct PeakLoop {
  const char* kind;  // "int8", "bf16" or "f32".
  const char* name;  // "avx512_vnni dpbusd".
  // Does one round of independent operations, `rounds` times.
  void (*run)(int64_t rounds);
  int64_t operations;  // Of a round: a multiplication and an addition are two.
};

// Those that this CPU can run. Empty on machines other than x86-64.
std::vector<PeakLoop> PeakLoops();

// Reads `bytes` (a multiple of 512) from `data`, aligned to 64, with the widest loads, and does
// next to nothing with them. What it returns depends on every byte.
uint64_t ReadBytes(const std::byte* data, int64_t bytes);

}  // namespace hocket

#endif  // HOCKET_TESTS_BENCH_PEAK_LOOPS_H_
