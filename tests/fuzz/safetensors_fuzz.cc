// Weight files of unknown origin, alone or as shards behind an index: refused by name, or tensors
// that lie within their file, apart from each other, and have the bytes that their shapes need.
#include <algorithm>
#include <filesystem>

#include "fuzz_input.h"
#include "promise.h"
#include "runtime/model/checkpoint.h"
#include "runtime/model/safetensors.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket::fuzz {
namespace {

void CheckRefusal(const absl::Status& status) {
  Promise(
      absl::IsInvalidArgument(status) || absl::IsNotFound(status) || absl::IsUnimplemented(status),
      "a file is refused for what it holds", status.ToString());
  Promise(status.message().find('/') != absl::string_view::npos, "a refusal names the file");
}

void CheckTensors(const SafetensorsFile& file) {
  std::vector<std::span<const std::byte>> places;
  const std::span<const std::byte> all = file.file().bytes();
  for (const auto& [name, view] : file.tensors()) {
    Promise(view.Elements() >= 0, "a number of elements is not negative", name);
    Promise(view.bytes.empty() == (view.Elements() == 0), "elements have bytes", name);
    if (view.bytes.empty()) continue;
    Promise(view.bytes.size() % static_cast<size_t>(view.Elements()) == 0, "elements have a size");
    Promise(view.bytes.data() >= all.data() &&
                view.bytes.data() + view.bytes.size() <= all.data() + all.size(),
            "a tensor lies within its file", name);
    places.push_back(view.bytes);
  }
  std::sort(places.begin(), places.end(),
            [](const auto& a, const auto& b) { return a.data() < b.data(); });
  for (size_t i = 1; i < places.size(); ++i) {
    Promise(places[i - 1].data() + places[i - 1].size() <= places[i].data(),
            "tensors lie apart from each other");
  }
}

// All elements, read in two parts as loading does.
template <typename To>
void Convert(const TensorView& view) {
  const int64_t count = view.Elements();
  std::vector<To> to(static_cast<size_t>(count));
  const int64_t first = count / 3;
  ConvertElements(view, 0, first, to.data());
  ConvertElements(view, first, count - first, to.data() + first);
}

void CheckReads(const Checkpoint& checkpoint, const std::string& name, const TensorView& listed) {
  const std::vector<int64_t>& shape = listed.shape;
  absl::StatusOr<TensorView> view = absl::NotFoundError("/ has too many dimensions for a model");
  if (shape.empty()) view = checkpoint.Find(name, {});
  if (shape.size() == 1) view = checkpoint.Find(name, {shape[0]});
  if (shape.size() == 2) view = checkpoint.Find(name, {shape[0], shape[1]});
  if (!view.ok()) return CheckRefusal(view.status());
  Promise(view->Elements() == listed.Elements(), "a tensor is found by its name");
  Convert<float>(*view);
  Convert<Bf16>(*view);
  if (!view->bytes.empty()) {
    const std::span<const std::byte> file = checkpoint.FileOf(*view).bytes();
    Promise(view->bytes.data() >= file.data() && view->bytes.data() < file.data() + file.size(),
            "a tensor is of its file");
  }
  Promise(!checkpoint.Find(name, {7, 7, 7}).ok(), "another shape is refused");
}

void Check(FuzzInput input) {
  static const auto* const folder = new testing::ScratchDir();
  const bool sharded = input.Flag();
  for (const char* name : {"model.safetensors", "model.safetensors.index.json", "a", "b"}) {
    std::filesystem::remove(folder->path() + "/" + name);
  }
  if (sharded) {
    folder->Write("model.safetensors.index.json", input.Take(input.Below(4096)));
    folder->Write("a", input.Take(input.Below(4096)));
    folder->Write("b", input.Rest());
  } else {
    folder->Write("model.safetensors", input.Rest());
  }
  const absl::StatusOr<Checkpoint> checkpoint = Checkpoint::Open(folder->path());
  if (!checkpoint.ok()) return CheckRefusal(checkpoint.status());
  for (const SafetensorsFile& file : checkpoint->files()) {
    CheckTensors(file);
    for (const auto& [name, view] : file.tensors()) {
      if (!sharded) CheckReads(*checkpoint, name, view);
    }
  }
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check({data, size});
  return 0;
}
