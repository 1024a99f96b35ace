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

// What a checkpoint is, as far as can be told without reading all of it.
struct CheckpointIdentity {
  // Of config.json, and of every tensor's name, type, shape and a page from its middle.
  uint64_t contents = 0;
  // The same, and each file's name, size and time. Times count in whole seconds, which is all that
  // container images keep.
  std::string text;
};
absl::StatusOr<CheckpointIdentity> IdentifyCheckpoint(const std::string& model_dir,
                                                      const Checkpoint& checkpoint);

// Where the cache file of a model may lie, the preferred place first. With "auto" that is beside
// the model, in a file that the next checkpoint of this folder replaces, and then in
// ${XDG_CACHE_HOME:-~/.cache}/hocket/weights; with "off" nowhere; else in the folder given.
std::vector<std::string> WeightCachePaths(const std::string& policy, const std::string& model_dir,
                                          const std::string& precision, uint64_t contents);

// A cache file in use. The payload's bytes begin on a page.
struct CachedWeights {
  std::string path;
  MappedFile file;
  std::span<const std::byte> payload;
};

class WeightCache {
 public:
  // `paths`: as WeightCachePaths. `key`: everything that the payload depends on.
  WeightCache(std::vector<std::string> paths, std::string key)
      : paths_(std::move(paths)), key_(std::move(key)) {}

  // The file of this key with a payload of that size. NOT_FOUND where there is none;
  // FAILED_PRECONDITION naming the file and what is wrong with it otherwise.
  absl::StatusOr<CachedWeights> Find(int64_t payload_bytes, Team& team) const;

  // Writes the file to the first place that takes it and returns its path, or the reason why none
  // did. A reader never sees an unfinished file. `progress` gets the fraction written.
  absl::StatusOr<std::string> Store(std::span<const std::byte> payload, Team& team,
                                    const std::function<void(double)>& progress) const;

 private:
  absl::StatusOr<CachedWeights> Open(const std::string& path, int64_t payload_bytes,
                                     Team& team) const;
  std::string MakeHeader(int64_t payload_bytes, uint64_t payload_hash) const;

  std::vector<std::string> paths_;
  std::string key_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_WEIGHT_CACHE_H_
