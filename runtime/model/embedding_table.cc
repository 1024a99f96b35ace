#include "runtime/model/embedding_table.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "runtime/kernels/activation.h"
#include "runtime/kernels/bf16.h"
#include "runtime/model/mapped_file.h"

namespace hocket {
namespace {

constexpr int64_t kReadBytes = 16 << 10;  // At a time, on the stack.

absl::Status ReadAll(int descriptor, int64_t offset, int64_t count, std::byte* to) {
  while (count > 0) {
    const ssize_t read = pread(descriptor, to, count, offset);
    if (read < 0 && errno == EINTR) continue;
    if (read <= 0) {
      return absl::DataLossError(absl::StrCat("the checkpoint's embedding cannot be read: ",
                                              read == 0 ? "cut short" : std::strerror(errno)));
    }
    to += read;
    offset += read;
    count -= read;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EmbeddingTable> EmbeddingTable::Open(const Checkpoint& checkpoint,
                                                    const std::string& name, int64_t vocabulary,
                                                    int64_t hidden, bool rounded) {
  const auto view = checkpoint.Find(name, {vocabulary, hidden});
  if (!view.ok()) return view.status();
  EmbeddingTable table;
  const MappedFile& file = checkpoint.FileOf(*view);
  table.descriptor_ = file.descriptor();
  table.offset_ = view->bytes.data() - file.bytes().data();
  table.vocabulary_ = vocabulary;
  table.hidden_ = hidden;
  table.type_ = view->type == "F32" ? Type::kF32 : view->type == "BF16" ? Type::kBf16 : Type::kF16;
  table.element_bytes_ = table.type_ == Type::kF32 ? 4 : 2;
  table.rounded_ = rounded;
  return table;
}

absl::Status EmbeddingTable::Read(int64_t token, float* to) const {
  alignas(64) std::byte buffer[kReadBytes];
  const int64_t most = kReadBytes / element_bytes_;
  const int64_t begin = offset_ + token * hidden_ * element_bytes_;
  for (int64_t done = 0; done < hidden_; done += most) {
    const int64_t count = std::min(most, hidden_ - done);
    const absl::Status status =
        ReadAll(descriptor_, begin + done * element_bytes_, count * element_bytes_, buffer);
    if (!status.ok()) return status;
    Widen(buffer, count, to + done);
    if (rounded_) {
      Bf16* const rounded = reinterpret_cast<Bf16*>(buffer);
      Convert(to + done, count, rounded);
      Convert(rounded, count, to + done);
    }
  }
  return absl::OkStatus();
}

void EmbeddingTable::Widen(const std::byte* from, int64_t count, float* to) const {
  switch (type_) {
    case Type::kF32:
      std::memcpy(to, from, count * sizeof(float));
      return;
    case Type::kBf16:
      Convert(reinterpret_cast<const Bf16*>(from), count, to);
      return;
    case Type::kF16:
      Convert(reinterpret_cast<const F16*>(from), count, to);
      return;
  }
}

}  // namespace hocket
