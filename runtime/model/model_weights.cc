#include "runtime/model/model_weights.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "runtime/kernels/bf16.h"
#include "runtime/kernels/float_matrix.h"
#include "runtime/kernels/quantized_matrix.h"
#include "runtime/machine.h"
#include "runtime/model/output_rows.h"
#include "runtime/model/weight_cache.h"

namespace hocket {
namespace {

// Smaller models are quantized in less time than it takes to look for their file.
constexpr int64_t kLeastAutomaticCacheBytes = int64_t{64} << 20;
// Of the checkpoint, read between two releases of its pages: what loading takes on top.
constexpr int64_t kResidentSourceBytes = int64_t{32} << 20;
constexpr int64_t kReleasedRows = 256;  // Likewise, where a matrix is packed in one go.
// Of QuantizedMatrix's packed bytes and of how they follow each other. A test notices when it has
// to be raised.
constexpr int kPackedLayoutVersion = 1;
constexpr char kReading[] = "loading weights";
constexpr char kQuantizing[] = "quantizing weights";
constexpr char kStoring[] = "writing the weight cache";

// A matrix to be made: where its rows are, and where it goes.
struct PlannedMatrix {
  MatrixShape shape;
  OutputRows rows;
  Precision precision;
  std::unique_ptr<WeightMatrix>* target = nullptr;
  int64_t offset = 0;  // In the packed bytes, when quantized.
};

QuantizedFormat FormatOf(Precision precision) {
  if (precision == Precision::kInt8) return {QuantizedFormat::Kind::kInt8, 0};
  return {QuantizedFormat::Kind::kInt4, precision == Precision::kInt4 ? 32 : 128};
}

// A NaN's or an infinity's exponent is all ones, and nothing else's.
bool AllFinite(const float* values, int64_t count) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t wrong = 0;
  for (int64_t i = 0; i < count; ++i) {
    wrong |= (std::bit_cast<uint32_t>(values[i]) & kExponent) == kExponent;
  }
  return wrong == 0;
}

class Loader {
 public:
  Loader(const ArchitectureSpec& spec, const Checkpoint& checkpoint, Team& team,
         const WeightSettings& settings)
      : spec_(spec), checkpoint_(checkpoint), team_(team), settings_(settings) {}

  absl::StatusOr<ModelWeights> Load() {
    PlanModel();
    absl::Status status = status_;
    if (status.ok()) status = LayOut();
    if (status.ok()) status = CheckMemory();
    if (status.ok() && packed_bytes_ > 0) status = LoadQuantized();
    if (status.ok()) status = LoadFloats();
    if (!status.ok()) return status;
    return std::move(weights_);
  }

 private:
  // Finds every tensor, so that what is missing is said before anything is read.
  void PlanModel() {
    const std::string embedding_name = "model.embed_tokens.weight";
    auto embedding =
        EmbeddingTable::Open(checkpoint_, embedding_name, spec_.vocabulary_size, spec_.hidden_size,
                             settings_.precision == Precision::kBf16);
    if (!embedding.ok()) {
      status_ = embedding.status();
      return;
    }
    weights_.embedding = *std::move(embedding);
    weights_.parameters += weights_.embedding.elements();
    weights_.layers.resize(spec_.layers);  // Plans point into it.
    for (int32_t i = 0; i < spec_.layers && status_.ok(); ++i) {
      PlanLayer(absl::StrCat("model.layers.", i, "."), weights_.layers[i]);
    }
    weights_.final_norm = ReadVector("model.norm.weight", spec_.hidden_size);
    Plan({{spec_.tied_head ? embedding_name : "lm_head.weight", spec_.vocabulary_size}},
         spec_.hidden_size, weights_.head);
    if (!status_.ok()) return;
    PlannedMatrix& head = matrices_.back();
    head.precision = settings_.head_precision != Precision::kAuto ? settings_.head_precision
                     : IsQuantized(settings_.precision)           ? Precision::kInt8
                                                                  : settings_.precision;
    if (spec_.tied_head) weights_.parameters -= weights_.embedding.elements();
  }

  void PlanLayer(const std::string& prefix, LayerWeights& layer) {
    const std::string attention = prefix + "self_attn.";
    const std::string mlp = prefix + "mlp.";
    const int64_t kv_size = int64_t{spec_.kv_heads} * spec_.head_dim;
    const std::vector<NamedRows> qkv = {{attention + "q_proj", spec_.AttentionSize()},
                                        {attention + "k_proj", kv_size},
                                        {attention + "v_proj", kv_size}};
    const std::vector<NamedRows> output = {{attention + "o_proj", spec_.hidden_size}};
    const std::vector<NamedRows> gate_up = {{mlp + "gate_proj", spec_.intermediate_size},
                                            {mlp + "up_proj", spec_.intermediate_size}};
    const std::vector<NamedRows> down = {{mlp + "down_proj", spec_.hidden_size}};
    layer.attention_norm = ReadVector(prefix + "input_layernorm.weight", spec_.hidden_size);
    layer.mlp_norm = ReadVector(prefix + "post_attention_layernorm.weight", spec_.hidden_size);
    PlanProjection(qkv, spec_.hidden_size, layer.qkv);
    PlanProjection(output, spec_.AttentionSize(), layer.attention_output);
    PlanProjection(gate_up, spec_.hidden_size, layer.gate_up);
    if (status_.ok()) matrices_.back().shape.gated = true;
    PlanProjection(down, spec_.intermediate_size, layer.down);
    if (spec_.qkv_bias) layer.qkv_bias = ReadBias(qkv);
    if (spec_.attention_output_bias) layer.attention_output_bias = ReadBias(output);
    if (spec_.mlp_bias) {
      layer.gate_up_bias = ReadBias(gate_up);
      layer.down_bias = ReadBias(down);
    }
  }

  void PlanProjection(std::vector<NamedRows> parts, int64_t inputs,
                      std::unique_ptr<WeightMatrix>& target) {
    for (NamedRows& part : parts) part.name += ".weight";
    Plan(parts, inputs, target);
  }

  void Plan(const std::vector<NamedRows>& parts, int64_t inputs,
            std::unique_ptr<WeightMatrix>& target) {
    if (!status_.ok()) return;
    auto rows = OutputRows::Find(checkpoint_, parts, inputs);
    if (!rows.ok()) {
      status_ = rows.status();
      return;
    }
    const MatrixShape shape = {inputs, rows->outputs(), false};
    weights_.parameters += shape.inputs * shape.outputs;
    elements_ += shape.inputs * shape.outputs;
    matrices_.push_back({shape, *std::move(rows), settings_.precision, &target});
  }

  std::vector<float> ReadBias(const std::vector<NamedRows>& parts) {
    std::vector<float> bias;
    for (const NamedRows& part : parts) {
      const std::vector<float> values = ReadVector(part.name + ".bias", part.outputs);
      bias.insert(bias.end(), values.begin(), values.end());
    }
    return bias;
  }

  // A norm's scale or a bias.
  std::vector<float> ReadVector(const std::string& name, int64_t size) {
    if (!status_.ok()) return {};
    const auto view = checkpoint_.Find(name, {size});
    if (!view.ok()) {
      status_ = view.status();
      return {};
    }
    weights_.parameters += size;
    weights_.bytes += size * sizeof(float);
    std::vector<float> values(size);
    ConvertElements(*view, 0, size, values.data());
    if (settings_.precision == Precision::kBf16) {
      for (float& value : values) value = ToF32(ToBf16(value));
    }
    return values;
  }

  absl::Status CheckMemory() const {
    const int64_t bytes = packed_bytes_ + float_bytes_;
    const int64_t available =
        settings_.memory_bytes > 0 ? settings_.memory_bytes : AvailableMemoryBytes();
    if (bytes <= available) return absl::OkStatus();
    return absl::ResourceExhaustedError(absl::StrCat(
        "the weights take ", bytes, " bytes as ", std::string(PrecisionName(settings_.precision)),
        ", but only ", available, " bytes of memory are left (choose a smaller precision)"));
  }

  absl::Status LayOut();
  absl::Status LoadFloats();
  template <class T>
  absl::Status PackFloats(const PlannedMatrix& matrix, FloatMatrixContext& context);
  absl::Status LoadQuantized();
  absl::Status Quantize();
  absl::Status QuantizeMatrix(const PlannedMatrix& matrix, std::byte* packed);
  absl::Status Open(const std::byte* packed);
  std::optional<WeightCache> Cache() const;
  void Store(const WeightCache& cache);

  void Report(const char* stage, double fraction) const {
    if (settings_.progress) settings_.progress(stage, fraction);
  }
  void Note(const std::string& line) const {
    if (settings_.notice) settings_.notice(line);
  }

  const ArchitectureSpec& spec_;
  const Checkpoint& checkpoint_;
  Team& team_;
  const WeightSettings& settings_;
  ModelWeights weights_;
  std::vector<PlannedMatrix> matrices_;
  int64_t elements_ = 0;  // Of all matrices.
  int64_t elements_done_ = 0;
  int64_t packed_bytes_ = 0;  // Of the quantized ones.
  int64_t float_bytes_ = 0;   // Of the others.
  AlignedBuffer scratch_;
  int64_t scratch_stride_ = 0;
  absl::Status status_;  // The first error while planning; what follows does nothing.
};

// Where each packed matrix lies, one after another.
absl::Status Loader::LayOut() {
  for (PlannedMatrix& matrix : matrices_) {
    if (!IsQuantized(matrix.precision)) {
      const int64_t element_bytes = matrix.precision == Precision::kF32 ? 4 : 2;
      float_bytes_ += matrix.shape.inputs * matrix.shape.outputs * element_bytes;
      continue;
    }
    const QuantizedFormat format = FormatOf(matrix.precision);
    const absl::Status status = QuantizedMatrix::Validate(matrix.shape, format);
    if (!status.ok()) return status;
    matrix.offset = packed_bytes_;
    packed_bytes_ += QuantizedMatrix::PackedBytes(matrix.shape, format);
    scratch_stride_ = std::max(scratch_stride_, QuantizedMatrix::PackScratchBytes(matrix.shape));
  }
  scratch_stride_ = (scratch_stride_ + 63) / 64 * 64;
  return absl::OkStatus();
}

absl::Status Loader::LoadFloats() {
  FloatMatrixContext context(team_);
  for (const PlannedMatrix& matrix : matrices_) {
    if (IsQuantized(matrix.precision)) continue;
    const absl::Status status = matrix.precision == Precision::kF32
                                    ? PackFloats<float>(matrix, context)
                                    : PackFloats<Bf16>(matrix, context);
    if (!status.ok()) return status;
    weights_.bytes += (*matrix.target)->bytes();
    elements_done_ += matrix.shape.inputs * matrix.shape.outputs;
    Report(kReading, static_cast<double>(elements_done_) / static_cast<double>(elements_));
  }
  return absl::OkStatus();
}

template <class T>
absl::Status Loader::PackFloats(const PlannedMatrix& matrix, FloatMatrixContext& context) {
  auto packed = FloatMatrix<T>::Pack(context, matrix.shape, [&](int64_t output, T* row) {
    matrix.rows.Read(output, row);
    // Others may still need some of these rows: they come back with their next reader.
    if ((output + 1) % kReleasedRows == 0) {
      matrix.rows.Release(output + 1 - kReleasedRows, output + 1);
    }
  });
  matrix.rows.Release(0, matrix.shape.outputs);
  if (!packed.ok()) return packed.status();
  *matrix.target = *std::move(packed);
  return absl::OkStatus();
}

absl::Status Loader::LoadQuantized() {
  weights_.bytes += packed_bytes_;
  const std::optional<WeightCache> cache = Cache();
  if (cache) {
    const absl::Time start = absl::Now();
    auto found = cache->Find(packed_bytes_, team_);
    if (found.ok()) {
      weights_.mapped = true;
      weights_.cache = std::move(found->file);
      Note(absl::StrFormat("weights mapped from %s in %.2f s", found->path,
                           absl::ToDoubleSeconds(absl::Now() - start)));
      weights_.cache_move = std::make_unique<LargePageMove>(
          weights_.cache.bytes(), [notice = settings_.later_notice](int64_t bytes, double seconds) {
            if (!notice) return;
            notice(bytes == 0 ? "weights stay in small pages: the system gives no large ones"
                              : absl::StrFormat("weights moved to large pages: %d MiB in %.2f s",
                                                bytes >> 20, seconds));
          });
      return Open(found->payload.data());
    }
    if (!absl::IsNotFound(found.status())) {
      Note(absl::StrCat("weight cache not used: ", std::string(found.status().message())));
    }
  }
  const absl::Status status = Quantize();
  if (!status.ok()) return status;
  if (cache) Store(*cache);
  return Open(weights_.packed.As<std::byte>());
}

absl::Status Loader::Quantize() {
  const absl::Time start = absl::Now();
  auto packed = AlignedBuffer::Allocate(packed_bytes_, "packed weights");
  if (!packed.ok()) return packed.status();
  weights_.packed = *std::move(packed);
  auto scratch = AlignedBuffer::Allocate(team_.threads() * scratch_stride_, "packing weights");
  if (!scratch.ok()) return scratch.status();
  scratch_ = *std::move(scratch);
  for (const PlannedMatrix& matrix : matrices_) {
    if (!IsQuantized(matrix.precision)) continue;
    const absl::Status status =
        QuantizeMatrix(matrix, weights_.packed.As<std::byte>() + matrix.offset);
    if (!status.ok()) return status;
  }
  scratch_ = AlignedBuffer();
  Note(absl::StrFormat("weights quantized to %s in %.1f s on %d threads",
                       std::string(PrecisionName(settings_.precision)),
                       absl::ToDoubleSeconds(absl::Now() - start), team_.threads()));
  return absl::OkStatus();
}

absl::Status Loader::QuantizeMatrix(const PlannedMatrix& matrix, std::byte* packed) {
  std::atomic<int64_t> wrong_output = -1;
  const QuantizedFormat format = FormatOf(matrix.precision);
  const int64_t units = QuantizedMatrix::Units(matrix.shape);
  const int64_t half = matrix.shape.gated ? matrix.shape.outputs / 2 : 0;
  const int64_t columns = matrix.shape.outputs - half;
  const int64_t unit_bytes = (half > 0 ? 2 : 1) * QuantizedMatrix::kUnitColumns *
                             matrix.shape.inputs * int64_t{sizeof(float)};
  const int64_t units_at_once =
      std::max<int64_t>(team_.threads(), kResidentSourceBytes / unit_bytes);
  for (int64_t first = 0; first < units; first += units_at_once) {
    const int64_t count = std::min(units_at_once, units - first);
    team_.Run([&](TeamMember& member) {
      std::byte* const scratch = scratch_.As<std::byte>() + member.index() * scratch_stride_;
      member.ForEach(count, [&](int64_t i) {
        QuantizedMatrix::PackUnit(
            matrix.shape, format, first + i,
            [&](int64_t output, float* row) {
              matrix.rows.Read(output, row);
              if (!AllFinite(row, matrix.shape.inputs)) wrong_output = output;
            },
            packed, scratch);
      });
    });
    if (wrong_output >= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(settings_.model_dir, ": the tensor \"", matrix.rows.NameOf(wrong_output),
                       "\" holds a NaN or an infinity, which quantization would hide"));
    }
    const int64_t begin = first * QuantizedMatrix::kUnitColumns;
    const int64_t end = std::min(columns, (first + count) * QuantizedMatrix::kUnitColumns);
    matrix.rows.Release(begin, end);
    if (half > 0) matrix.rows.Release(half + begin, half + end);
    elements_done_ += (end - begin) * (half > 0 ? 2 : 1) * matrix.shape.inputs;
    Report(kQuantizing, static_cast<double>(elements_done_) / static_cast<double>(elements_));
  }
  return absl::OkStatus();
}

absl::Status Loader::Open(const std::byte* packed) {
  for (const PlannedMatrix& matrix : matrices_) {
    if (!IsQuantized(matrix.precision)) continue;
    auto opened =
        QuantizedMatrix::Open(matrix.shape, FormatOf(matrix.precision), packed + matrix.offset);
    if (!opened.ok()) return opened.status();
    *matrix.target = *std::move(opened);
  }
  return absl::OkStatus();
}

std::optional<WeightCache> Loader::Cache() const {
  const std::string& policy = settings_.weight_cache;
  if (policy == "auto" && packed_bytes_ < kLeastAutomaticCacheBytes) return std::nullopt;
  if (policy == "off") return std::nullopt;
  const auto identity = IdentifyCheckpoint(settings_.model_dir, checkpoint_);
  if (!identity.ok()) {
    Note(absl::StrCat("weight cache not used: ", std::string(identity.status().message())));
    return std::nullopt;
  }
  const std::string precision(PrecisionName(settings_.precision));
  const std::string key =
      absl::StrCat("layout ", kPackedLayoutVersion, "\nweights ", precision, ", head ",
                   std::string(PrecisionName(matrices_.back().precision)), "\n", identity->text);
  return WeightCache(WeightCachePaths(policy, settings_.model_dir, precision, identity->contents),
                     key);
}

void Loader::Store(const WeightCache& cache) {
  const absl::Time start = absl::Now();
  const std::span<const std::byte> payload(weights_.packed.As<std::byte>(),
                                           static_cast<size_t>(packed_bytes_));
  const auto path =
      cache.Store(payload, team_, [this](double fraction) { Report(kStoring, fraction); });
  if (path.ok()) {
    Note(absl::StrFormat("weight cache written to %s in %.1f s", *path,
                         absl::ToDoubleSeconds(absl::Now() - start)));
  } else {
    Note(absl::StrCat("weight cache not written: ", std::string(path.status().message())));
  }
}

}  // namespace

absl::StatusOr<ModelWeights> LoadModelWeights(const ArchitectureSpec& spec,
                                              const Checkpoint& checkpoint, Team& team,
                                              const WeightSettings& settings) {
  return Loader(spec, checkpoint, team, settings).Load();
}

}  // namespace hocket
