// Changes a protobuf message in one place, by its descriptor: the result always parses, so the
// fuzzer spends its time behind the parser. Only for libFuzzer's builds. One thread.
#ifndef HOCKET_TESTS_FUZZ_MESSAGE_MUTATOR_H_
#define HOCKET_TESTS_FUZZ_MESSAGE_MUTATOR_H_

#include <google/protobuf/message.h>

#include <cstdint>
#include <random>
#include <string>

namespace hocket::fuzz {

class MessageMutator {
 public:
  explicit MessageMutator(uint32_t seed) : random_(seed) {}

  void Mutate(google::protobuf::Message& message);

  // Some of the fields of `from`, in place of those of `into`. Both are of one type.
  void Mix(google::protobuf::Message& into, const google::protobuf::Message& from);

 private:
  using Message = google::protobuf::Message;
  using Field = google::protobuf::FieldDescriptor;

  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  bool OneIn(uint32_t times) { return Below(times) == 0; }

  void ChangeSingle(Message& message, const Field* field);
  void ChangeRepeated(Message& message, const Field* field);
  // Sets the field, or its entry `index`, or adds an entry where `index` is -1.
  void Store(Message& message, const Field* field, int index);

  int64_t Integer(int64_t old);
  double Number();
  std::string Text(std::string old);

  std::mt19937 random_;
};

}  // namespace hocket::fuzz

#endif  // HOCKET_TESTS_FUZZ_MESSAGE_MUTATOR_H_
