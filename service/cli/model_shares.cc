#include "service/cli/model_shares.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace hocket {
namespace {

namespace fs = std::filesystem;

// Gives those without a number of their own equal parts of what is left of `total`, at least
// `least`.
template <typename Number>
std::vector<Number> Share(Number total, Number least, std::span<const std::optional<Number>> own) {
  Number sharers = 0;
  for (const std::optional<Number>& number : own) {
    total -= number.value_or(0);
    if (!number) ++sharers;
  }
  total = std::max<Number>(total, 0);
  std::vector<Number> shares;
  for (const std::optional<Number>& number : own) {
    if (number) {
      shares.push_back(*number);
      continue;
    }
    const Number share = (total + sharers - 1) / sharers;
    shares.push_back(std::max(share, least));
    total -= share;
    --sharers;
  }
  return shares;
}

// Of a checkpoint's bytes, which mostly are bf16: what the weights are once packed.
double PackedShare(Precision precision) {
  switch (ChoosePrecision(precision).precision) {
    case Precision::kF32:
      return 2;
    case Precision::kInt8:
      return 0.55;
    case Precision::kInt4:
    case Precision::kInt4G128:
      return 0.35;
    default:
      return 1;
  }
}

}  // namespace

std::vector<int32_t> ShareThreads(int32_t total, std::span<const std::optional<int32_t>> own) {
  return Share<int32_t>(total, 1, own);
}

std::vector<int64_t> ShareKvBytes(int64_t total, std::span<const std::optional<int64_t>> own) {
  return Share<int64_t>(total, total > 0 ? 1 : 0, own);
}

int64_t ExpectedWeightBytes(const std::string& model_dir, Precision precision) {
  std::error_code ignored;
  double bytes = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(model_dir, ignored)) {
    if (entry.path().extension() != ".safetensors") continue;
    const std::uintmax_t size = entry.file_size(ignored);
    if (!ignored) bytes += static_cast<double>(size);
  }
  return static_cast<int64_t>(bytes * PackedShare(precision));
}

SharedMemory MemoryShares::Next(int64_t available_bytes) const {
  SharedMemory shared;
  // What those before have not touched yet still shows as available.
  shared.promised_bytes =
      std::max<int64_t>(0, available_bytes - (available_bytes_ - promised_bytes_));
  shared.kv_shares = 1;
  for (size_t i = loaded_ + 1; i < models_.size(); ++i) {
    shared.expected_bytes += models_[i].expected_weight_bytes + models_[i].kv_cache_bytes;
    if (models_[i].kv_cache_bytes == 0) ++shared.kv_shares;
  }
  return shared;
}

void MemoryShares::Loaded(const ModelInfo& info) {
  promised_bytes_ += info.weight_bytes + info.arena_bytes + info.kv_cache_bytes;
  ++loaded_;
}

}  // namespace hocket
