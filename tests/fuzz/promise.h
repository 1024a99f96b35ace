// How a fuzz target says that a promise was broken: with a line on stderr and an abort, which the
// fuzzer and the replaying test both see. Any thread.
#ifndef HOCKET_TESTS_FUZZ_PROMISE_H_
#define HOCKET_TESTS_FUZZ_PROMISE_H_

#include <cstdio>
#include <cstdlib>
#include <string>

namespace hocket::fuzz {

// `promise` reads as what must hold; `seen` is what did happen.
inline void Promise(bool kept, const char* promise, const std::string& seen = "") {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\n%s\n", promise, seen.c_str());
  std::abort();
}

}  // namespace hocket::fuzz

#endif  // HOCKET_TESTS_FUZZ_PROMISE_H_
