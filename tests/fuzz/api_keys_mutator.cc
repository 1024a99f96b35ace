// libFuzzer's hook for api_keys_fuzz.cc: JSON.
#include "json_mutator.h"

namespace {

// The digest is of the key that the target tries.
constexpr std::string_view kFragments[] = {
    R"({"name":"a","tenant":"t","sha256":"1747c4000376ab4dbf2ec22d6862f422731f1993db70b81af66e25c0de30872c","scopes":["generate"]})",
    R"({"name":"b","tenant":"t","certificate_san":"spiffe://example.org/b","scopes":["admin"],"weight":2})",
    R"({"name":"c","tenant":"u","certificate_san":"c.example.org","scopes":["generate","admin"],"expires":"2020-01-01T00:00:00Z"})",
    R"({"max_requests":4,"max_waiting_requests":2,"max_waiting_tokens":100})",
    R"("interactive")",
    R"("batch")",
    R"("2030-12-31T23:59:59Z")",
    R"(["generate"])",
};

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  return hocket::fuzz::MutateJsonInput(data, size, max_size, 0, kFragments, seed);
}
