// The weight cache's file after anything may have happened to it: it is used only when it is, byte
// for byte, what Store would write for its payload.
#include <cstring>
#include <fstream>
#include <iterator>

#include "fuzz_input.h"
#include "promise.h"
#include "runtime/model/weight_cache.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket::fuzz {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

std::span<const std::byte> Bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Changes of a stored file: bytes, ends, and parts in other places.
void Damage(std::string& file, FuzzInput& input) {
  while (!input.empty()) {
    const uint8_t what = input.Byte();
    // Most of what matters is in the first bytes.
    const size_t at = what & 8 ? input.Below(65535) : input.Byte();
    switch (what % 4) {
      case 0:
        if (at < file.size()) file[at] = static_cast<char>(file[at] ^ input.Byte());
        break;
      case 1:
        if (at < file.size()) file.resize(at);
        break;
      case 2:
        if (at <= file.size()) file.insert(at, input.Text(64));
        break;
      default:
        if (at + 8 <= file.size()) {
          uint64_t number = uint64_t{1} << input.Byte() % 64;
          number += input.Byte();
          std::memcpy(file.data() + at, &number, 8);
        }
    }
  }
}

void Check(FuzzInput input) {
  static const auto* const folder = new testing::ScratchDir();
  static auto* const team = new Team(1);
  const uint8_t flags = input.Byte();
  const std::string path = folder->path() + "/weights";
  const std::string key = flags & 1 ? "the key\nof two lines\n" : "";
  const std::string payload = input.Text(255);
  const WeightCache cache({path}, key);
  Promise(cache.Store(Bytes(payload), *team, nullptr).ok(), "a cache can be stored");
  const std::string stored = ReadAll(path);
  std::string file = flags & 2 ? input.Rest() : stored;
  if ((flags & 2) == 0) Damage(file, input);
  std::ofstream(path, std::ios::binary) << file;

  const auto found = cache.Find(static_cast<int64_t>(payload.size()), *team);
  Promise(found.ok() == (file == stored), "a cache is used when it is as it was stored",
          found.status().ToString());
  if (!found.ok()) {
    Promise(absl::IsFailedPrecondition(found.status()), "a damaged cache is as good as none",
            found.status().ToString());
    return;
  }
  Promise(found->payload.size() == payload.size() &&
              std::memcmp(found->payload.data(), payload.data(), payload.size()) == 0,
          "a cache gives back what was stored");
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check({data, size});
  return 0;
}
