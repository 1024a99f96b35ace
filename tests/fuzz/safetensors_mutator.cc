// libFuzzer's hook for safetensors_fuzz.cc: changes the header of a lone file as JSON and writes
// its length anew, most of the time.
#include <cstring>

#include "json_mutator.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

constexpr size_t kPrefixBytes = 1 + 8;  // The target's choice, then the header's length.

constexpr std::string_view kFragments[] = {
    R"({"dtype":"F32","shape":[2,2],"data_offsets":[0,16]})",
    R"({"dtype":"BF16","shape":[4],"data_offsets":[0,8]})",
    R"({"dtype":"F16","shape":[],"data_offsets":[1,3]})",
    R"({"dtype":"I8","shape":[0,5],"data_offsets":[4,4]})",
    R"([0,4])",
    R"([1125899906842624,1125899906842624,0])",
    R"("BF16")",
    R"("F16")",
    R"("F32")",
};

size_t Change(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  uint64_t header_bytes = 0;
  if (size >= kPrefixBytes) std::memcpy(&header_bytes, data + 1, 8);
  const bool lone = size >= kPrefixBytes && data[0] % 2 == 0;
  if (!lone || header_bytes > size - kPrefixBytes || seed % 4 == 0) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto header =
      hocket::fuzz::MutateJson(text.substr(kPrefixBytes, header_bytes), kFragments, seed / 4);
  const std::string tail(text.substr(kPrefixBytes + header_bytes));
  if (!header || kPrefixBytes + header->size() + tail.size() > max_size) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  header_bytes = header->size();
  std::memcpy(data + 1, &header_bytes, 8);
  std::memcpy(data + kPrefixBytes, header->data(), header->size());
  std::memcpy(data + kPrefixBytes + header->size(), tail.data(), tail.size());
  return kPrefixBytes + header->size() + tail.size();
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  return Change(data, size, max_size, seed);
}
