// Changes a JSON text in one place, as a tree: the result still parses, so the fuzzer spends its
// time behind the parser. Only for libFuzzer's builds. Pure but for libFuzzer's own mutations.
#ifndef HOCKET_TESTS_FUZZ_JSON_MUTATOR_H_
#define HOCKET_TESTS_FUZZ_JSON_MUTATOR_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace hocket::fuzz {

// `fragments` are JSON texts that may come in somewhere: what the code under test knows. Nothing
// where `text` is no JSON.
std::optional<std::string> MutateJson(std::string_view text,
                                      std::span<const std::string_view> fragments, uint32_t seed);

// A custom mutator for inputs that are `prefix_bytes` and then JSON: mostly changes the tree, and
// now and then any byte.
size_t MutateJsonInput(uint8_t* data, size_t size, size_t max_size, size_t prefix_bytes,
                       std::span<const std::string_view> fragments, uint32_t seed);

}  // namespace hocket::fuzz

#endif  // HOCKET_TESTS_FUZZ_JSON_MUTATOR_H_
