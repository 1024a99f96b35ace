#include "runtime/model/weights.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

// Rows of one matrix that come from one tensor.
struct Part {
  std::string name;
  int64_t outputs;
};

template <class T>
class Loader {
 public:
  Loader(const ArchitectureSpec& spec, const Checkpoint& checkpoint, LinearContext& context,
         const WeightLoading& loading)
      : spec_(spec), checkpoint_(checkpoint), context_(context), loading_(loading) {}

  absl::StatusOr<ModelWeights<T>> Load() {
    ReadModel();
    if (!status_.ok()) return status_;
    Report(1.0);
    return std::move(weights_);
  }

 private:
  void ReadModel() {
    const std::string embedding_name = "model.embed_tokens.weight";
    auto embedding = checkpoint_.Find(embedding_name, {spec_.vocabulary_size, spec_.hidden_size});
    if (!embedding.ok()) {
      status_ = embedding.status();
      return;
    }
    weights_.embedding = *std::move(embedding);
    weights_.parameters += weights_.embedding.Elements();
    weights_.bytes += weights_.embedding.bytes.size();
    const int64_t head_share = 1 + int64_t{spec_.vocabulary_size} /
                                       (3 * int64_t{spec_.intermediate_size} + spec_.QkvSize());
    const double steps = static_cast<double>(spec_.layers + head_share);
    for (int32_t i = 0; i < spec_.layers && status_.ok(); ++i) {
      Report(i / steps);
      weights_.layers.push_back(ReadLayer(absl::StrCat("model.layers.", i, ".")));
    }
    weights_.final_norm = ReadVector("model.norm.weight", spec_.hidden_size);
    Report(spec_.layers / steps);
    const std::string head_name = spec_.tied_head ? embedding_name : "lm_head.weight";
    weights_.head =
        ReadMatrix({{head_name, spec_.vocabulary_size}}, spec_.hidden_size, loading_.max_head_rows);
    if (spec_.tied_head) weights_.parameters -= weights_.embedding.Elements();
  }

  LayerWeights<T> ReadLayer(const std::string& prefix) {
    const std::string attention = prefix + "self_attn.";
    const std::string mlp = prefix + "mlp.";
    const int64_t kv_size = int64_t{spec_.kv_heads} * spec_.head_dim;
    const std::vector<Part> qkv = {{attention + "q_proj", spec_.AttentionSize()},
                                   {attention + "k_proj", kv_size},
                                   {attention + "v_proj", kv_size}};
    const std::vector<Part> output = {{attention + "o_proj", spec_.hidden_size}};
    const std::vector<Part> gate_up = {{mlp + "gate_proj", spec_.intermediate_size},
                                       {mlp + "up_proj", spec_.intermediate_size}};
    const std::vector<Part> down = {{mlp + "down_proj", spec_.hidden_size}};
    LayerWeights<T> layer;
    layer.attention_norm = ReadVector(prefix + "input_layernorm.weight", spec_.hidden_size);
    layer.mlp_norm = ReadVector(prefix + "post_attention_layernorm.weight", spec_.hidden_size);
    layer.qkv = ReadProjection(qkv, spec_.hidden_size);
    layer.attention_output = ReadProjection(output, spec_.AttentionSize());
    layer.gate_up = ReadProjection(gate_up, spec_.hidden_size);
    layer.down = ReadProjection(down, spec_.intermediate_size);
    if (spec_.qkv_bias) layer.qkv_bias = ReadBias(qkv);
    if (spec_.attention_output_bias) layer.attention_output_bias = ReadBias(output);
    if (spec_.mlp_bias) {
      layer.gate_up_bias = ReadBias(gate_up);
      layer.down_bias = ReadBias(down);
    }
    return layer;
  }

  Linear<T> ReadProjection(std::vector<Part> parts, int64_t inputs) {
    for (Part& part : parts) part.name += ".weight";
    return ReadMatrix(parts, inputs, loading_.max_step_rows);
  }

  // The parts' rows one after another, converted and packed.
  Linear<T> ReadMatrix(const std::vector<Part>& parts, int64_t inputs, int32_t max_rows) {
    int64_t outputs = 0;
    for (const Part& part : parts) outputs += part.outputs;
    if (!ReserveStaging(inputs * outputs)) return {};
    int64_t first_row = 0;
    for (const Part& part : parts) {
      const auto view = checkpoint_.Find(part.name, {part.outputs, inputs});
      if (!view.ok()) {
        status_ = view.status();
        return {};
      }
      T* const to = staging_.As<T>() + first_row * inputs;
#pragma omp parallel for num_threads(context_.threads())
      for (int64_t row = 0; row < part.outputs; ++row) {
        ConvertElements(*view, row * inputs, inputs, to + row * inputs);
      }
      ReleasePages(view->bytes);
      first_row += part.outputs;
    }
    auto linear = Linear<T>::Pack(context_, staging_.As<T>(), inputs, outputs, max_rows);
    if (!linear.ok()) {
      status_ = linear.status();
      return {};
    }
    weights_.parameters += inputs * outputs;
    weights_.bytes += linear->bytes();
    return *std::move(linear);
  }

  std::vector<float> ReadBias(const std::vector<Part>& parts) {
    std::vector<float> bias;
    for (const Part& part : parts) {
      const std::vector<float> values = ReadVector(part.name + ".bias", part.outputs);
      bias.insert(bias.end(), values.begin(), values.end());
    }
    return bias;
  }

  // A norm's scale or a bias; rounded to the model's precision, kept as f32.
  std::vector<float> ReadVector(const std::string& name, int64_t size) {
    if (!status_.ok()) return {};
    const auto view = checkpoint_.Find(name, {size});
    if (!view.ok()) {
      status_ = view.status();
      return {};
    }
    std::vector<T> values(size);
    ConvertElements(*view, 0, size, values.data());
    weights_.parameters += size;
    weights_.bytes += size * sizeof(float);
    std::vector<float> wide;
    for (const T value : values) wide.push_back(ToF32(value));
    return wide;
  }

  bool ReserveStaging(int64_t elements) {
    if (!status_.ok()) return false;
    const int64_t bytes = elements * sizeof(T);
    if (bytes <= staging_.bytes()) return true;
    auto staging = AlignedBuffer::Allocate(bytes, "reading weights");
    if (!staging.ok()) {
      status_ = staging.status();
      return false;
    }
    staging_ = *std::move(staging);
    return true;
  }

  void Report(double fraction) const {
    if (loading_.progress) loading_.progress("loading weights", fraction);
  }

  const ArchitectureSpec& spec_;
  const Checkpoint& checkpoint_;
  LinearContext& context_;
  const WeightLoading& loading_;
  AlignedBuffer staging_;
  ModelWeights<T> weights_;
  absl::Status status_;  // The first error; later reads do nothing.
};

}  // namespace

template <class T>
absl::StatusOr<ModelWeights<T>> LoadWeights(const ArchitectureSpec& spec,
                                            const Checkpoint& checkpoint, LinearContext& context,
                                            const WeightLoading& loading) {
  return Loader<T>(spec, checkpoint, context, loading).Load();
}

template absl::StatusOr<ModelWeights<float>> LoadWeights(const ArchitectureSpec&, const Checkpoint&,
                                                         LinearContext&, const WeightLoading&);
template absl::StatusOr<ModelWeights<Bf16>> LoadWeights(const ArchitectureSpec&, const Checkpoint&,
                                                        LinearContext&, const WeightLoading&);

}  // namespace hocket
