// libFuzzer's hook for plan_trace_fuzz.cc: changes one word of one line, or the lines' order.
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace hocket::fuzz {
namespace {

std::string AnyNumber(std::mt19937& random) {
  constexpr int64_t kNumbers[] = {0,  1,  2,   3,    4,     5,          7,         8,
                                  16, 17, 64,  100,  1000,  2147483647, -1,        -2,
                                  10, 20, 255, 1024, 65536, 1 << 26,    1LL << 40, 1000000};
  if (random() % 8 == 0) return random() % 2 == 0 ? "inf" : "0.5";
  if (random() % 4 == 0) return absl::StrCat(random() % 64);
  return absl::StrCat(kNumbers[random() % std::size(kNumbers)]);
}

void ChangeWord(std::string& line, std::mt19937& random) {
  std::vector<std::string> words = absl::StrSplit(line, ' ');
  const size_t at = random() % words.size();
  switch (random() % 4) {
    case 0:
      words.insert(words.begin() + static_cast<std::ptrdiff_t>(at), AnyNumber(random));
      break;
    case 1:
      words.erase(words.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    default:
      words[at] = AnyNumber(random);
  }
  line = absl::StrJoin(words, " ");
}

std::string Changed(std::string_view text, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::string> lines =
      absl::StrSplit(absl::string_view(text.data(), text.size()), '\n');
  const size_t at = random() % lines.size();
  switch (random() % 8) {
    case 0:
      lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 1: {
      const std::string copy = lines[at];
      const size_t to = random() % (lines.size() + 1);
      lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(to), copy);
      break;
    }
    case 2:
      std::swap(lines[at], lines[random() % lines.size()]);
      break;
    default:
      ChangeWord(lines[at], random);
  }
  return absl::StrJoin(lines, "\n");
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  // libFuzzer itself has seen which digest a plan was compared with.
  if (size == 0 || seed % 3 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::string changed =
      hocket::fuzz::Changed({reinterpret_cast<const char*>(data), size}, seed / 3);
  if (changed.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, changed.data(), changed.size());
  return changed.size();
}
