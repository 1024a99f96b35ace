// libFuzzer's hooks for request_fuzz.cc: the first byte says what kind of request follows, and the
// rest is changed as that message.
#include <algorithm>
#include <cstring>
#include <memory>

#include "hocket/v1/hocket.pb.h"
#include "message_mutator.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace hocket::fuzz {
namespace {

using google::protobuf::Message;

std::unique_ptr<Message> Parse(uint8_t kind, const uint8_t* data, size_t size) {
  std::unique_ptr<Message> message;
  switch (kind % 8) {
    case 0:
      message = std::make_unique<v1::ScoreRequest>();
      break;
    case 1:
      message = std::make_unique<v1::EmbedRequest>();
      break;
    case 2:
      message = std::make_unique<v1::TokenizeRequest>();
      break;
    case 3:
      message = std::make_unique<v1::DetokenizeRequest>();
      break;
    default:
      message = std::make_unique<v1::GenerateRequest>();
  }
  // What cannot be parsed is taken as far as it goes.
  message->ParsePartialFromArray(data, static_cast<int>(size));
  return message;
}

size_t Write(uint8_t kind, const Message& message, uint8_t* data, size_t max_size) {
  const std::string bytes = message.SerializePartialAsString();
  if (bytes.size() + 1 > max_size) return 0;
  data[0] = kind;
  std::memcpy(data + 1, bytes.data(), bytes.size());
  return bytes.size() + 1;
}

size_t Change(uint8_t* data, size_t size, size_t max_size, uint32_t seed) {
  if (size == 0 || seed % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const uint8_t kind = seed % 64 == 1 ? static_cast<uint8_t>(seed >> 8) : data[0];
  const std::unique_ptr<Message> message = Parse(kind, data + 1, size - 1);
  MessageMutator mutator(seed);
  for (unsigned int i = 0; i <= seed / 64 % 3; ++i) mutator.Mutate(*message);
  const size_t written = Write(kind, *message, data, max_size);
  return written > 0 ? written : LLVMFuzzerMutate(data, size, max_size);
}

size_t Cross(const uint8_t* first, size_t first_size, const uint8_t* second, size_t second_size,
             uint8_t* out, size_t max_size, uint32_t seed) {
  if (first_size == 0 || second_size == 0 || first[0] % 8 != second[0] % 8) return 0;
  const std::unique_ptr<Message> into = Parse(first[0], first + 1, first_size - 1);
  const std::unique_ptr<Message> from = Parse(first[0], second + 1, second_size - 1);
  MessageMutator(seed).Mix(*into, *from);
  return Write(first[0], *into, out, max_size);
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  return hocket::fuzz::Change(data, size, max_size, seed);
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* first, size_t first_size,
                                            const uint8_t* second, size_t second_size, uint8_t* out,
                                            size_t max_out_size, unsigned int seed) {
  return hocket::fuzz::Cross(first, first_size, second, second_size, out, max_out_size, seed);
}
