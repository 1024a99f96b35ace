#include "json_mutator.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "nlohmann/json.hpp"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace hocket::fuzz {
namespace {

// In the order of the text: what is chosen from depends on nothing else.
using Json = nlohmann::ordered_json;

constexpr int kDeepest = 500;

class JsonMutator {
 public:
  JsonMutator(Json& root, std::span<const std::string_view> fragments, uint32_t seed)
      : root_(root), fragments_(fragments), random_(seed) {
    Collect(root);
  }

  void Mutate() {
    Json& node = *nodes_[Below(nodes_.size())];
    switch (Below(8)) {
      case 0:
        node = Scalar();
        return;
      case 1:
        if (!fragments_.empty()) node = Fragment();
        return;
      case 2:
        node = Json(*nodes_[Below(nodes_.size())]);
        return;
      case 3:
        node = OneIn(2) ? Json::array({Json(node)}) : Json::array();
        return;
      default:
        ChangeWithin(node);
    }
  }

 private:
  size_t Below(size_t limit) { return random_() % limit; }
  bool OneIn(size_t times) { return Below(times) == 0; }

  void Collect(Json& node) {
    nodes_.push_back(&node);
    if (!node.is_structured()) return;
    for (Json& child : node) Collect(child);
  }

  Json Fragment() {
    const std::string_view text = fragments_[Below(fragments_.size())];
    return Json::parse(text, nullptr, /*allow_exceptions=*/false);
  }

  Json Scalar() {
    constexpr int64_t kIntegers[] = {0,  1,  2,   3,   4,    7,    8,     16,        32,
                                     64, 96, 128, 256, 1000, 4096, 65536, 1 << 22,   1 << 30,
                                     -1, -2, 421, 512, 576,  1024, 32000, 2147483647};
    constexpr double kNumbers[] = {0.5,  1e-6, 1e-300, 1e300, 0.1, 10000.0,
                                   1e30, 1e18, 1.8e19, -0.5,  2.5, 4294967296.0};
    switch (Below(8)) {
      case 0:
        return nullptr;
      case 1:
        return OneIn(2);
      case 2:
        return kNumbers[Below(std::size(kNumbers))];
      case 3:
        return "";
      case 4:
        return uint64_t{1} << Below(64);
      default:
        return kIntegers[Below(std::size(kIntegers))];
    }
  }

  void ChangeWithin(Json& node) {
    if (node.is_object()) return ChangeObject(node);
    if (node.is_array()) return ChangeArray(node);
    if (node.is_string()) {
      node = ChangedText(node.get<std::string>());
    } else if (node.is_number_integer()) {
      node = static_cast<int64_t>(node.get<uint64_t>() + Below(9) - 4);  // Goes round.
    } else if (node.is_number()) {
      node = node.get<double>() * (OneIn(2) ? 10 : -0.1);
    } else {
      node = Scalar();
    }
  }

  void ChangeObject(Json& node) {
    if (node.empty() || OneIn(4)) {
      node[ChangedText("key")] = Scalar();
      return;
    }
    const auto at = std::next(node.begin(), static_cast<std::ptrdiff_t>(Below(node.size())));
    const std::string key = at.key();
    if (OneIn(3)) {
      node.erase(key);
      return;
    }
    const Json value = *at;
    node[OneIn(2) ? ChangedText(key) : AnyKey()] = value;
  }

  void ChangeArray(Json& node) {
    if (!node.empty() && OneIn(3)) {
      node.erase(Below(node.size()));
    } else if (!node.empty() && OneIn(2)) {
      const Json copy = node[Below(node.size())];
      node.push_back(copy);
    } else {
      node.push_back(OneIn(2) || fragments_.empty() ? Scalar() : Fragment());
    }
  }

  std::string AnyKey() {
    std::vector<std::string> keys;
    for (const Json* node : nodes_) {
      if (!node->is_object()) continue;
      for (const auto& item : node->items()) keys.push_back(item.key());
    }
    return keys.empty() ? "key" : keys[Below(keys.size())];
  }

  static std::string ChangedText(std::string text) {
    const size_t size = text.size();
    text.resize(size + 24);
    text.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(text.data()), size, text.size()));
    return text;
  }

  Json& root_;
  std::span<const std::string_view> fragments_;
  std::mt19937 random_;
  std::vector<Json*> nodes_;
};

// How deep brackets are within each other, those in strings included.
int DepthOf(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  for (const char c : text) {
    if (c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if (c == ']' || c == '}') --depth;
  }
  return deepest;
}

}  // namespace

std::optional<std::string> MutateJson(std::string_view text,
                                      std::span<const std::string_view> fragments, uint32_t seed) {
  if (DepthOf(text) > kDeepest) return std::nullopt;  // The library's own recursion.
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return std::nullopt;
  JsonMutator(json, fragments, seed).Mutate();
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

size_t MutateJsonInput(uint8_t* data, size_t size, size_t max_size, size_t prefix_bytes,
                       std::span<const std::string_view> fragments, uint32_t seed) {
  if (size < prefix_bytes || seed % 8 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::optional<std::string> changed =
      MutateJson(text.substr(prefix_bytes), fragments, seed / 8);
  if (!changed || prefix_bytes + changed->size() > max_size) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  if (prefix_bytes > 0 && seed % 8 == 1) LLVMFuzzerMutate(data, prefix_bytes, prefix_bytes);
  std::memcpy(data + prefix_bytes, changed->data(), changed->size());
  return prefix_bytes + changed->size();
}

}  // namespace hocket::fuzz
