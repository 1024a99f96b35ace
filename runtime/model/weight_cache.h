// Packed weights on disk, so that a model that was quantized once starts at once: a file beside the
// model or in a cache folder, which is mapped and used where it lies. A file is used only if its
// header names the very model and layout that are asked for and its contents have the hash that
// they were written with; anything else is as good as no file. Several processes may look for, use
// and write the same file at once. Used by one thread while loading.
#ifndef HOCKET_RUNTIME_MODEL_WEIGHT_CACHE_H_
#define HOCKET_RUNTIME_MODEL_WEIGHT_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/kernels/team.h"
#include "runtime/model/checkpoint.h"
#include "runtime/model/mapped_file.h"

namespace hocket {

// Names a checkpoint's contents: sizes, times and headers of its files, config.json, and a sample
// of every tensor. Reads a page per tensor. Times count in whole seconds, which is all that
// container images keep.
absl::StatusOr<std::string> DescribeCheckpoint(const std::string& model_dir,
                                               const Checkpoint& checkpoint);

// The folders where a cache file may lie, the preferred one first: with "auto" the model's own and
// then ${XDG_CACHE_HOME:-~/.cache}/hocket/weights, with "off" none, else the folder given.
std::vector<std::string> WeightCacheFolders(const std::string& policy,
                                            const std::string& model_dir);

// A cache file in use. The payload's bytes begin on a page.
struct CachedWeights {
  std::string path;
  MappedFile file;
  std::span<const std::byte> payload;
};

class WeightCache {
 public:
  // `name` is the file's, `key` everything that the payload depends on.
  WeightCache(std::vector<std::string> folders, std::string name, std::string key)
      : folders_(std::move(folders)), name_(std::move(name)), key_(std::move(key)) {}

  // The file of this key with a payload of that size. NOT_FOUND where there is none;
  // FAILED_PRECONDITION naming the file and what is wrong with it otherwise.
  absl::StatusOr<CachedWeights> Find(int64_t payload_bytes, Team& team) const;

  // Writes the file to the first folder that takes it and returns its path, or the reason why none
  // did. A reader never sees an unfinished file. `progress` gets the fraction written.
  absl::StatusOr<std::string> Store(std::span<const std::byte> payload, Team& team,
                                    const std::function<void(double)>& progress) const;

 private:
  absl::StatusOr<CachedWeights> Open(const std::string& path, int64_t payload_bytes,
                                     Team& team) const;
  std::string MakeHeader(int64_t payload_bytes, uint64_t payload_hash) const;

  std::vector<std::string> folders_;
  std::string name_;
  std::string key_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_WEIGHT_CACHE_H_
