#include "runtime/model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

namespace hocket {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // The format's own limit.

absl::Status Invalid(const std::string& path, const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", problem));
}

std::optional<int64_t> ElementBytes(const std::string& type) {
  if (type == "F64" || type == "I64" || type == "U64") return 8;
  if (type == "F32" || type == "I32" || type == "U32") return 4;
  if (type == "BF16" || type == "F16" || type == "I16" || type == "U16") return 2;
  if (type == "BOOL" || type == "U8" || type == "I8" || type == "F8_E4M3" || type == "F8_E5M2") {
    return 1;
  }
  return std::nullopt;
}

// The list of whole numbers at `field`, or nothing.
std::optional<std::vector<int64_t>> Numbers(const nlohmann::json& entry, const char* field) {
  const auto found = entry.find(field);
  if (found == entry.end() || !found->is_array()) return std::nullopt;
  std::vector<int64_t> numbers;
  for (const auto& item : *found) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > uint64_t{1} << 50) return std::nullopt;
    numbers.push_back(item.get<int64_t>());
  }
  return numbers;
}

// Product of the shape and the element's size, or nothing when it overflows.
std::optional<int64_t> TensorBytes(std::span<const int64_t> shape, int64_t element_bytes) {
  int64_t bytes = element_bytes;
  for (const int64_t size : shape) {
    if (size != 0 && bytes > std::numeric_limits<int64_t>::max() / size) return std::nullopt;
    bytes *= size;
  }
  return bytes;
}

absl::StatusOr<TensorView> ReadEntry(const nlohmann::json& entry, std::span<const std::byte> data) {
  const auto problem = [](const std::string& text) { return absl::InvalidArgumentError(text); };
  if (!entry.is_object()) return problem("is not described by an object");
  const auto type = entry.find("dtype");
  if (type == entry.end() || !type->is_string()) return problem("has no dtype");
  TensorView view;
  view.type = type->get<std::string>();
  const auto element_bytes = ElementBytes(view.type);
  if (!element_bytes) return problem(absl::StrCat("has the unknown dtype ", view.type));
  const auto shape = Numbers(entry, "shape");
  if (!shape || shape->size() > 8) return problem("has no valid shape");
  view.shape = *shape;
  const auto offsets = Numbers(entry, "data_offsets");
  if (!offsets || offsets->size() != 2 || (*offsets)[0] > (*offsets)[1]) {
    return problem("has no valid data_offsets");
  }
  const int64_t begin = (*offsets)[0];
  const int64_t end = (*offsets)[1];
  if (end > static_cast<int64_t>(data.size())) {
    return problem(absl::StrCat("ends at byte ", end, " of the data, but the file holds ",
                                data.size(), ": it is cut short"));
  }
  const auto bytes = TensorBytes(view.shape, *element_bytes);
  if (!bytes || *bytes != end - begin) {
    return problem(absl::StrCat("of dtype ", view.type, " and shape ", ShapeText(view.shape),
                                " has ", end - begin, " bytes of data"));
  }
  view.bytes = data.subspan(begin, end - begin);
  return view;
}

}  // namespace

int64_t TensorView::Elements() const {
  int64_t elements = 1;
  for (const int64_t size : shape) elements *= size;
  return elements;
}

std::string ShapeText(std::span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  auto mapped = MappedFile::Open(path);
  if (!mapped.ok()) return mapped.status();
  SafetensorsFile file;
  file.path_ = path;
  file.file_ = *std::move(mapped);
  absl::Status status = file.ReadHeader();
  if (status.ok()) status = file.CheckOverlaps();
  if (!status.ok()) return status;
  return file;
}

absl::Status SafetensorsFile::ReadHeader() {
  const std::span<const std::byte> bytes = file_.bytes();
  if (bytes.size() < kLengthBytes) return Invalid(path_, "too short for a safetensors file");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), kLengthBytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - kLengthBytes) {
    return Invalid(path_, absl::StrCat("the header claims ", header_bytes, " bytes, the file has ",
                                       bytes.size(), ": not a safetensors file, or cut short"));
  }
  const char* const text = reinterpret_cast<const char*>(bytes.data()) + kLengthBytes;
  const nlohmann::json header =
      nlohmann::json::parse(text, text + header_bytes, nullptr, /*allow_exceptions=*/false);
  if (header.is_discarded() || !header.is_object()) {
    return Invalid(path_, "the header is not a JSON object");
  }
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + header_bytes);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    auto view = ReadEntry(entry, data);
    if (!view.ok()) {
      return Invalid(path_, absl::StrCat("tensor ", name, " ", view.status().message()));
    }
    tensors_.emplace(name, *std::move(view));
  }
  return absl::OkStatus();
}

absl::Status SafetensorsFile::CheckOverlaps() const {
  std::vector<std::pair<const std::byte*, const std::string*>> order;
  for (const auto& [name, view] : tensors_) {
    if (!view.bytes.empty()) order.emplace_back(view.bytes.data(), &name);
  }
  std::sort(order.begin(), order.end());
  for (size_t i = 1; i < order.size(); ++i) {
    const TensorView& before = *Find(*order[i - 1].second);
    if (before.bytes.data() + before.bytes.size() > order[i].first) {
      return Invalid(path_, absl::StrCat("tensors ", *order[i - 1].second, " and ",
                                         *order[i].second, " overlap"));
    }
  }
  return absl::OkStatus();
}

const TensorView* SafetensorsFile::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace hocket
