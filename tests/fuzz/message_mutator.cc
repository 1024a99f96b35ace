#include "message_mutator.h"

#include <array>
#include <limits>
#include <utility>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace hocket::fuzz {
namespace {

constexpr std::array<int64_t, 30> kIntegers = {
    0,   1,    2,    3,    4,       8,          16,         20,         21,           32,
    33,  63,   64,   65,   127,     128,        255,        256,        257,          420,
    421, 1024, 1025, 4096, 1 << 20, 2147483647, 4294967295, 1000000000, 315576000001, -1};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::array<double, 20> kNumbers = {0,    -0.0,  0.1,  0.5,   0.9,       1,         1.75,
                                             2,    8,     9.99, 10,    100,       100.00001, -10,
                                             -100, 1e-30, 1e30, 1e-45, kInfinity, -kInfinity};
constexpr std::array<const char*, 36> kTexts = {
    "",
    "small",
    "user",
    "assistant",
    "system",
    "Once upon a time",
    "\n",
    "é",
    "😀",
    "\uFFFD",
    "<|im_end|>",
    "<|begin_of_text|>",
    "hockettoken",
    "{}",
    "true",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}",
    "{\"type\":\"string\",\"pattern\":\"^a+$\"}",
    "{\"enum\":[1,\"a\",null]}",
    "{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}",
    "{\"anyOf\":[{\"type\":\"number\",\"minimum\":0},{\"type\":\"null\"}]}",
    "{\"$defs\":{\"x\":{\"type\":\"string\",\"maxLength\":3}},\"$ref\":\"#/$defs/x\"}",
    "[a-z]{2,5}",
    "(yes|no|\\d+)",
    "a*",
    "(?i)abc.",
    "start: \"a\" | \"b\"",
    "start: a+\na: /[0-9]/",
    "start: \"(\" start \")\" | \"x\"",
    "a",
    "ab",
    "0123456789abcdef",
    "The end",
    "tenant",
    "*",
    "\\",
    "\""};

// Proto's texts are UTF-8, and so nothing else gets past its parser.
std::string Repaired(std::string text) {
  std::string repaired;
  for (size_t at = 0; at < text.size();) {
    const auto byte = [&](size_t i) {
      return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
    };
    const unsigned lead = byte(at);
    const size_t length = lead < 0x80 ? 1 : lead >= 0xC2 && lead < 0xE0 ? 2 : 0;
    if (length == 2 && (byte(at + 1) & 0xC0) != 0x80) {
      repaired += '?';
      ++at;
    } else if (length > 0) {
      repaired += text.substr(at, length);
      at += length;
    } else {
      repaired += lead >= 0xF0 ? "😀" : lead >= 0xE0 ? "€" : "?";
      ++at;
    }
  }
  return repaired;
}

void Collect(
    google::protobuf::Message* message,
    std::vector<std::pair<google::protobuf::Message*, const google::protobuf::FieldDescriptor*>>&
        places) {
  const auto* descriptor = message->GetDescriptor();
  const auto* reflection = message->GetReflection();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const auto* field = descriptor->field(i);
    places.emplace_back(message, field);
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (field->is_repeated()) {
      for (int k = 0; k < reflection->FieldSize(*message, field); ++k) {
        Collect(reflection->MutableRepeatedMessage(message, field, k), places);
      }
    } else if (reflection->HasField(*message, field)) {
      Collect(reflection->MutableMessage(message, field), places);
    }
  }
}

}  // namespace

void MessageMutator::Mutate(Message& message) {
  std::vector<std::pair<Message*, const Field*>> places;
  Collect(&message, places);
  if (places.empty()) return;  // A message without fields is what it is.
  const auto [where, field] = places[Below(static_cast<uint32_t>(places.size()))];
  if (field->is_repeated()) {
    ChangeRepeated(*where, field);
  } else {
    ChangeSingle(*where, field);
  }
}

void MessageMutator::Mix(Message& into, const Message& from) {
  const auto* reflection = from.GetReflection();
  const std::unique_ptr<Message> copy(from.New());
  copy->CopyFrom(from);
  std::vector<const Field*> fields;
  reflection->ListFields(from, &fields);
  for (const Field* field : fields) {
    if (OneIn(2)) continue;
    if (const auto* oneof = field->containing_oneof()) reflection->ClearOneof(&into, oneof);
    reflection->ClearField(&into, field);
    reflection->SwapFields(&into, copy.get(), {field});
  }
}

void MessageMutator::ChangeSingle(Message& message, const Field* field) {
  const auto* reflection = message.GetReflection();
  const bool set = reflection->HasField(message, field);
  if (set && OneIn(3)) return reflection->ClearField(&message, field);
  if (field->cpp_type() == Field::CPPTYPE_MESSAGE) {
    Mutate(*reflection->MutableMessage(&message, field));
  } else {
    Store(message, field, 0);
  }
}

void MessageMutator::ChangeRepeated(Message& message, const Field* field) {
  const auto* reflection = message.GetReflection();
  const int size = reflection->FieldSize(message, field);
  const uint32_t what = Below(8);
  if (size > 0 && what == 0) return reflection->RemoveLast(&message, field);
  if (size > 1 && what == 1) {
    const auto last = static_cast<int>(Below(static_cast<uint32_t>(size)));
    return reflection->SwapElements(&message, field, 0, last);
  }
  if (what == 2) {  // Over a limit.
    for (uint32_t more = 1 + Below(300); more > 0; --more) Store(message, field, -1);
    return;
  }
  const bool change = size > 0 && what > 4;
  Store(message, field, change ? static_cast<int>(Below(static_cast<uint32_t>(size))) : -1);
}

void MessageMutator::Store(Message& message, const Field* field, int index) {
  const auto* reflection = message.GetReflection();
  const bool repeated = field->is_repeated();
  const auto store = [&](auto set_repeated, auto add, auto set, auto value) {
    if (!repeated) return (reflection->*set)(&message, field, std::move(value));
    if (index < 0) return (reflection->*add)(&message, field, std::move(value));
    (reflection->*set_repeated)(&message, field, index, std::move(value));
  };
  using Reflection = google::protobuf::Reflection;
  switch (field->cpp_type()) {
    case Field::CPPTYPE_INT32:
      return store(&Reflection::SetRepeatedInt32, &Reflection::AddInt32, &Reflection::SetInt32,
                   static_cast<int32_t>(Integer(0)));
    case Field::CPPTYPE_INT64:
      return store(&Reflection::SetRepeatedInt64, &Reflection::AddInt64, &Reflection::SetInt64,
                   Integer(0));
    case Field::CPPTYPE_UINT32:
      return store(&Reflection::SetRepeatedUInt32, &Reflection::AddUInt32, &Reflection::SetUInt32,
                   static_cast<uint32_t>(Integer(0)));
    case Field::CPPTYPE_UINT64:
      return store(&Reflection::SetRepeatedUInt64, &Reflection::AddUInt64, &Reflection::SetUInt64,
                   static_cast<uint64_t>(Integer(0)));
    case Field::CPPTYPE_FLOAT:
      return store(&Reflection::SetRepeatedFloat, &Reflection::AddFloat, &Reflection::SetFloat,
                   static_cast<float>(Number()));
    case Field::CPPTYPE_DOUBLE:
      return store(&Reflection::SetRepeatedDouble, &Reflection::AddDouble, &Reflection::SetDouble,
                   Number());
    case Field::CPPTYPE_BOOL:
      return store(&Reflection::SetRepeatedBool, &Reflection::AddBool, &Reflection::SetBool,
                   OneIn(2));
    case Field::CPPTYPE_ENUM:
      return store(&Reflection::SetRepeatedEnumValue, &Reflection::AddEnumValue,
                   &Reflection::SetEnumValue, OneIn(8) ? -1 : static_cast<int>(Below(6)));
    case Field::CPPTYPE_STRING: {
      std::string old;
      if (!repeated) old = reflection->GetString(message, field);
      if (repeated && index >= 0) old = reflection->GetRepeatedString(message, field, index);
      return store(&Reflection::SetRepeatedString, &Reflection::AddString, &Reflection::SetString,
                   Text(std::move(old)));
    }
    case Field::CPPTYPE_MESSAGE:
      return Mutate(*(index < 0 ? reflection->AddMessage(&message, field)
                                : reflection->MutableRepeatedMessage(&message, field, index)));
  }
}

int64_t MessageMutator::Integer(int64_t old) {
  switch (Below(4)) {
    case 0:
      return static_cast<int64_t>(Below(500));
    case 1:
      return old + static_cast<int64_t>(Below(5)) - 2;
    case 2:
      return -kIntegers[Below(kIntegers.size())];
    default:
      return kIntegers[Below(kIntegers.size())];
  }
}

double MessageMutator::Number() {
  switch (Below(4)) {
    case 0:
      return static_cast<double>(Below(1000)) / 1000;
    case 1:
      return OneIn(4) ? std::numeric_limits<double>::quiet_NaN() : -1.0 * Below(200);
    default:
      return kNumbers[Below(kNumbers.size())];
  }
}

std::string MessageMutator::Text(std::string old) {
  switch (Below(8)) {
    case 0:
      return kTexts[Below(kTexts.size())];
    case 1:
      return old + kTexts[Below(kTexts.size())];
    case 2: {  // Over a limit.
      std::string longer = old.empty() ? "é" : old;
      while (longer.size() < 300 && !OneIn(12)) longer += longer;
      return longer;
    }
    default: {
      const size_t size = old.size();
      old.resize(size + 64);
      old.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(old.data()), size, old.size()));
      return Repaired(std::move(old));
    }
  }
}

}  // namespace hocket::fuzz
