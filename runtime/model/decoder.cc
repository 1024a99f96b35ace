#include "runtime/model/decoder.h"

#include <omp.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/kernels/simd_target.h"
#include "runtime/kernels/team.h"
#include "runtime/machine.h"
#include "runtime/model/architecture_spec.h"
#include "runtime/model/checkpoint.h"
#include "runtime/model/forward_pass.h"
#include "runtime/model/kv_storage.h"
#include "runtime/model/mapped_file.h"
#include "runtime/model/model_weights.h"
#include "runtime/model/plan_check.h"

namespace hocket {
namespace {

// Rows of the largest product with the head: more gain nothing, and their logits are large.
constexpr int32_t kMaxHeadRows = 64;

KvType StoredAs(KvPrecision precision) {
  switch (precision) {
    case KvPrecision::kF32:
      return KvType::kF32;
    case KvPrecision::kInt8:
      return KvType::kInt8;
    default:
      return KvType::kBf16;
  }
}

// The kernels in use: "AVX3_ZEN4, products avx512_vnni, attention avx512_bf16".
std::string DescribeKernels(const ModelWeights& weights, KvType kv) {
  std::set<std::string> products = {weights.head->kernel()};
  for (const LayerWeights& layer : weights.layers) {
    for (const auto* matrix : {&layer.qkv, &layer.attention_output, &layer.gate_up, &layer.down}) {
      products.insert((*matrix)->kernel());
    }
  }
  return absl::StrCat(SimdTargetName(), ", products ", absl::StrJoin(products, "+"), ", attention ",
                      AttentionPlan::Kernel(kv));
}

class DecoderImpl : public Decoder {
 public:
  DecoderImpl(ArchitectureSpec spec, Checkpoint checkpoint, const RuntimeSettings& settings,
              ModelInfo info)
      : spec_(std::move(spec)),
        checkpoint_(std::move(checkpoint)),
        info_(std::move(info)),
        team_(info_.threads),
        limits_{spec_.vocabulary_size, spec_.max_context_tokens, settings.max_step_tokens,
                settings.block_tokens, 0} {}

  absl::Status Prepare(const RuntimeSettings& settings) {
    omp_set_num_threads(info_.threads);
    info_.process_bytes = ProcessResidentBytes();
    info_.available_memory_bytes = std::max<int64_t>(
        0, AvailableMemoryBytes() - ProgramBytes() - settings.shared_memory.promised_bytes);
    absl::Status status = LoadWeights(settings);
    if (status.ok()) status = CreatePass(settings);
    if (status.ok()) status = AllocateCache(settings);
    if (!status.ok()) return status;
    info_.cpu = DescribeKernels(weights_, StoredAs(info_.kv_precision));
    // Loading ran on this thread's own team and steps will run on the engine thread's. libgomp
    // counts the threads of both, and once they are more than the CPUs its workers hardly spin
    // before they sleep: on 2 CPUs every parallel region then cost a wake-up, and small models ran
    // at a sixth.
    omp_pause_resource_all(omp_pause_soft);
    return absl::OkStatus();
  }

  const ModelInfo& info() const override { return info_; }
  int32_t threads_in_use() const override { return team_.members(); }

  absl::StatusOr<std::span<const float>> Forward(const StepPlan& plan,
                                                 std::span<const int32_t> outputs) override {
    const absl::Status status = CheckPlan(limits_, plan, outputs);
    if (!status.ok()) return status;
    return pass_->Run(plan, outputs);
  }

  absl::Status Logits(std::span<const float> hidden, int32_t rows,
                      std::span<float> logits) override {
    if (rows < 0 || static_cast<int64_t>(hidden.size()) != int64_t{rows} * spec_.hidden_size ||
        static_cast<int64_t>(logits.size()) != int64_t{rows} * spec_.vocabulary_size) {
      return absl::InvalidArgumentError(absl::StrCat("logits of ", rows, " rows from ",
                                                     hidden.size(), " to ", logits.size(),
                                                     " elements: the sizes do not match"));
    }
    return pass_->Logits(hidden, rows, logits);
  }

 private:
  static int32_t HeadRows(const RuntimeSettings& settings) {
    return std::min(kMaxHeadRows, settings.max_running_sequences);
  }

  absl::Status LoadWeights(const RuntimeSettings& settings) {
    auto weights = LoadModelWeights(spec_, checkpoint_, team_,
                                    {
                                        .precision = info_.precision,
                                        .model_dir = settings.model_dir,
                                        .weight_cache = settings.weight_cache,
                                        .memory_bytes = info_.available_memory_bytes,
                                        .progress = settings.progress,
                                        .notice = settings.notice,
                                        .later_notice = settings.later_notice,
                                    });
    if (!weights.ok()) return weights.status();
    weights_ = *std::move(weights);
    info_.parameters = weights_.parameters;
    info_.weight_bytes = weights_.bytes;
    info_.weights_mapped = weights_.mapped;
    info_.embedding_bytes = weights_.embedding.bytes();
    return absl::OkStatus();
  }

  // The pass knows the cache's shape from the start; its blocks come last, from what is left.
  absl::Status CreatePass(const RuntimeSettings& settings) {
    const KvShape shape = {StoredAs(info_.kv_precision), spec_.kv_heads, spec_.head_dim,
                           settings.block_tokens};
    auto no_blocks = KvStorage::Allocate({shape, spec_.layers, 0});
    if (!no_blocks.ok()) return no_blocks.status();
    cache_ = *std::move(no_blocks);
    auto pass = ForwardPass::Create(spec_, weights_, cache_, team_,
                                    {settings.max_step_tokens, HeadRows(settings)});
    if (!pass.ok()) return pass.status();
    pass_ = *std::move(pass);
    info_.arena_bytes = pass_->bytes();
    return absl::OkStatus();
  }

  absl::Status AllocateCache(const RuntimeSettings& settings) {
    // Counted from before the loading, as mapped weights and an arena that no step has touched do
    // not show in what is available now.
    int64_t left =
        std::max<int64_t>(0, info_.available_memory_bytes - info_.weight_bytes - info_.arena_bytes);
    if (settings.kv_cache_bytes == 0) {
      const SharedMemory& shared = settings.shared_memory;
      left = std::max<int64_t>(0, left - shared.expected_bytes) / shared.kv_shares;
    }
    const auto size = PlanKvStorage(spec_, cache_.size().shape.type, settings.block_tokens,
                                    settings.kv_cache_bytes, settings.max_running_sequences, left);
    if (!size.ok()) return size.status();
    auto cache = KvStorage::Allocate(*size);
    if (!cache.ok()) return cache.status();
    cache_ = *std::move(cache);
    limits_.blocks = size->blocks;
    info_.kv_blocks = size->blocks;
    info_.kv_cache_bytes = size->Bytes();
    return absl::OkStatus();
  }

  const ArchitectureSpec spec_;
  const Checkpoint checkpoint_;
  ModelInfo info_;
  Team team_;
  PlanLimits limits_;
  ModelWeights weights_;
  KvStorage cache_;
  std::unique_ptr<ForwardPass> pass_;
};

// The last component, also of "models/tales/" and ".".
std::string FolderName(const std::string& folder) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::canonical(folder, error);
  return error ? folder : path.filename().string();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Load(const RuntimeSettings& settings) {
  absl::Status status = settings.Validate();
  if (!status.ok()) return status;
  const std::string config_path = absl::StrCat(settings.model_dir, "/config.json");
  const auto text = ReadTextFile(config_path);
  if (!text.ok()) return text.status();
  auto spec = ParseArchitecture(*text, config_path);
  if (!spec.ok()) return spec.status();

  ModelInfo info;
  info.name = FolderName(settings.model_dir);
  info.architecture = spec->name;
  const PrecisionChoice choice = ChoosePrecision(settings.precision);
  info.precision = choice.precision;
  info.precision_reason = choice.reason;
  info.kv_precision = ChooseKvPrecision(settings.kv_precision, info.precision);
  info.layers = spec->layers;
  info.hidden_size = spec->hidden_size;
  info.vocabulary_size = spec->vocabulary_size;
  info.max_context_tokens = spec->max_context_tokens;
  info.end_of_text_tokens = spec->end_of_text_tokens;
  info.threads = settings.threads > 0 ? settings.threads : AvailableThreads();

  auto checkpoint = Checkpoint::Open(settings.model_dir);
  if (!checkpoint.ok()) return checkpoint.status();
  auto decoder = std::make_unique<DecoderImpl>(*std::move(spec), *std::move(checkpoint), settings,
                                               std::move(info));
  status = decoder->Prepare(settings);
  if (!status.ok()) return status;
  return decoder;
}

}  // namespace hocket
