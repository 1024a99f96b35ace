#include "runtime/model/checkpoint.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/kernels/activation.h"
#include "runtime/model/json_fields.h"

namespace hocket {
namespace {

constexpr size_t kMaxShards = 10'000;

bool Exists(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0;
}

template <class From, class To>
void ConvertRun(const std::byte* from, int64_t count, To* to) {
  if (reinterpret_cast<uintptr_t>(from) % alignof(From) == 0) {
    Convert(reinterpret_cast<const From*>(from), count, to);
    return;
  }
  // Some writers do not align the data.
  From aligned[256];
  for (int64_t done = 0; done < count;) {
    const int64_t run = std::min<int64_t>(std::size(aligned), count - done);
    std::memcpy(aligned, from + done * sizeof(From), run * sizeof(From));
    Convert(aligned, run, to + done);
    done += run;
  }
}

template <class To>
void ConvertElementsT(const TensorView& view, int64_t first, int64_t count, To* to) {
  if (view.type == "F32") {
    ConvertRun<float>(view.bytes.data() + first * 4, count, to);
  } else if (view.type == "BF16") {
    ConvertRun<Bf16>(view.bytes.data() + first * 2, count, to);
  } else {
    ConvertRun<F16>(view.bytes.data() + first * 2, count, to);
  }
}

}  // namespace

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& folder) {
  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  const std::string single = absl::StrCat(folder, "/model.safetensors");
  const std::string index = absl::StrCat(folder, "/model.safetensors.index.json");
  if (Exists(single)) {
    auto file = SafetensorsFile::Open(single);
    if (!file.ok()) return file.status();
    for (const auto& [name, view] : file->tensors()) checkpoint.files_by_tensor_[name] = 0;
    checkpoint.files_.push_back(*std::move(file));
    return checkpoint;
  }
  if (!Exists(index)) {
    return absl::NotFoundError(
        absl::StrCat(folder, ": holds neither model.safetensors nor model.safetensors.index.json"));
  }
  const absl::Status status = checkpoint.OpenShards(index);
  if (!status.ok()) return status;
  return checkpoint;
}

absl::Status Checkpoint::OpenShards(const std::string& index_path) {
  const auto text = ReadTextFile(index_path);
  if (!text.ok()) return text.status();
  const auto index = ParseJsonObject(*text, index_path);
  if (!index.ok()) return index.status();
  const auto invalid = [&](const std::string& problem) {
    return absl::InvalidArgumentError(absl::StrCat(index_path, ": ", problem));
  };
  const auto weight_map = index->find("weight_map");
  if (weight_map == index->end() || !weight_map->is_object() || weight_map->empty()) {
    return invalid("weight_map is missing");
  }
  std::map<std::string, size_t> shards;
  for (const auto& [tensor, shard] : weight_map->items()) {
    if (!shard.is_string()) return invalid(absl::StrCat("weight_map.", tensor, " is no file name"));
    const std::string name = shard.get<std::string>();
    if (name.empty() || name.find('/') != std::string::npos) {
      return invalid(absl::StrCat("weight_map.", tensor, " is ", name,
                                  ", expected the name of a file in the same folder"));
    }
    const auto [known, inserted] = shards.try_emplace(name, files_.size());
    if (inserted) {
      if (files_.size() == kMaxShards) return invalid("names too many files");
      auto file = SafetensorsFile::Open(absl::StrCat(folder_, "/", name));
      if (!file.ok()) return file.status();
      files_.push_back(*std::move(file));
    }
    if (files_[known->second].Find(tensor) == nullptr) {
      return invalid(
          absl::StrCat("weight_map places ", tensor, " in ", name, ", which does not hold it"));
    }
    files_by_tensor_[tensor] = known->second;
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorView> Checkpoint::Find(const std::string& name,
                                            std::initializer_list<int64_t> expected_shape) const {
  const auto found = files_by_tensor_.find(name);
  if (found == files_by_tensor_.end()) {
    return absl::NotFoundError(absl::StrCat(folder_, ": tensor ", name, " is missing"));
  }
  const SafetensorsFile& file = files_[found->second];
  const TensorView& view = *file.Find(name);
  const std::string where = absl::StrCat(file.path(), ": tensor ", name);
  if (!std::equal(view.shape.begin(), view.shape.end(), expected_shape.begin(),
                  expected_shape.end())) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, " has shape ", ShapeText(view.shape), ", expected ",
                     ShapeText(std::vector<int64_t>(expected_shape)), " by config.json"));
  }
  if (view.type != "F32" && view.type != "BF16" && view.type != "F16") {
    return absl::UnimplementedError(
        absl::StrCat(where, " has dtype ", view.type, ", expected F32, BF16 or F16"));
  }
  return view;
}

const MappedFile& Checkpoint::FileOf(const TensorView& view) const {
  size_t file = 0;
  while (file + 1 < files_.size()) {
    const std::span<const std::byte> bytes = files_[file].file().bytes();
    if (view.bytes.data() >= bytes.data() && view.bytes.data() < bytes.data() + bytes.size()) break;
    ++file;
  }
  return files_[file].file();
}

void ConvertElements(const TensorView& view, int64_t first, int64_t count, float* to) {
  ConvertElementsT(view, first, count, to);
}
void ConvertElements(const TensorView& view, int64_t first, int64_t count, Bf16* to) {
  ConvertElementsT(view, first, count, to);
}

}  // namespace hocket
