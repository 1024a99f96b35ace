// The token embeddings, read row by row from the checkpoint's file as tokens need them: the file's
// pages stay the system's, and a table of hundreds of megabytes is no part of the process.
// Immutable once open; any thread. The checkpoint outlives it.
#ifndef HOCKET_RUNTIME_MODEL_EMBEDDING_TABLE_H_
#define HOCKET_RUNTIME_MODEL_EMBEDDING_TABLE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/model/checkpoint.h"

namespace hocket {

class EmbeddingTable {
 public:
  EmbeddingTable() = default;
  // The tensor `name` [vocabulary, hidden]. With `rounded`, elements are rounded to bf16, whatever
  // the checkpoint has. Errors as Checkpoint::Find.
  static absl::StatusOr<EmbeddingTable> Open(const Checkpoint& checkpoint, const std::string& name,
                                             int64_t vocabulary, int64_t hidden, bool rounded);

  int64_t elements() const { return vocabulary_ * hidden_; }
  int64_t bytes() const { return elements() * element_bytes_; }  // In the file.

  // A token's embedding [hidden]. DATA_LOSS when the file cannot be read any more.
  absl::Status Read(int64_t token, float* to) const;

 private:
  enum class Type { kF32, kBf16, kF16 };

  void Widen(const std::byte* from, int64_t count, float* to) const;

  int descriptor_ = -1;  // The checkpoint's.
  int64_t offset_ = 0;   // Of the tensor in its file.
  int64_t vocabulary_ = 0;
  int64_t hidden_ = 0;
  int64_t element_bytes_ = 0;
  Type type_ = Type::kF32;
  bool rounded_ = false;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_EMBEDDING_TABLE_H_
