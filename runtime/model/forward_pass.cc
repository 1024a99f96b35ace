#include "runtime/model/forward_pass.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "runtime/kernels/activation.h"
#include "runtime/kernels/rms_norm.h"
#include "runtime/kernels/rotary.h"

namespace hocket {
namespace {

// Attention scratch per thread: enough for a tile of several tokens at common context lengths.
constexpr int64_t kAttentionScratchFloats = 1 << 18;

// Below this many elements waking the team takes longer than the work.
constexpr int64_t kElementsWorthThreads = 16 * 1024;

template <class F>
void ForEachRow(int32_t threads, int32_t rows, int64_t row_elements, F&& f) {
#pragma omp parallel for num_threads(threads) if (rows * row_elements > kElementsWorthThreads)
  for (int32_t row = 0; row < rows; ++row) f(row);
}

const float* DataOrNull(const std::vector<float>& values) {
  return values.empty() ? nullptr : values.data();
}

}  // namespace

template <class T>
absl::StatusOr<ForwardPass<T>> ForwardPass<T>::Create(const ArchitectureSpec& spec,
                                                      const ModelWeights<T>& weights,
                                                      KvCache<T>& cache,
                                                      const ForwardSettings& settings) {
  ForwardPass pass;
  pass.spec_ = &spec;
  pass.weights_ = &weights;
  pass.cache_ = &cache;
  pass.settings_ = settings;
  pass.frequencies_ = RotaryFrequencies(spec.rotary, spec.head_dim);
  const absl::Status status = pass.AllocateScratch();
  if (!status.ok()) return status;
  return pass;
}

template <class T>
absl::Status ForwardPass<T>::AllocateScratch() {
  const int64_t rows = PaddedRows(settings_.max_step_tokens);
  const int64_t head_rows = settings_.max_head_rows;
  AttentionInput input;
  input.layout = cache_->size().layout;
  input.heads = spec_->heads;
  scratch_floats_ =
      std::max(kAttentionScratchFloats,
               AttentionScratchFloats(input, {nullptr, 0, 1, spec_->max_context_tokens - 1}));
  // Threads' parts start on cache lines of their own.
  scratch_floats_ = (scratch_floats_ + 15) / 16 * 16;
  const int64_t f32 = sizeof(float);
  const int64_t act = sizeof(T);
  const std::pair<AlignedBuffer*, int64_t> sizes[] = {
      {&residual_, rows * spec_->hidden_size * f32},
      {&normed_, rows * spec_->hidden_size * act},
      {&qkv_, rows * spec_->QkvSize() * f32},
      {&attended_, rows * spec_->AttentionSize() * act},
      {&projected_, rows * spec_->hidden_size * f32},
      {&gate_up_, rows * 2 * spec_->intermediate_size * f32},
      {&activated_, rows * spec_->intermediate_size * act},
      {&cosines_, rows * spec_->head_dim / 2 * f32},
      {&sines_, rows * spec_->head_dim / 2 * f32},
      {&hidden_, rows * spec_->hidden_size * f32},
      {&scores_, settings_.threads * scratch_floats_ * f32},
      {&head_input_, head_rows * spec_->hidden_size * act},
      {&head_output_, head_rows * spec_->vocabulary_size * f32},
  };
  for (const auto& [buffer, bytes] : sizes) {
    auto allocated = AlignedBuffer::Allocate(bytes, "a step's scratch");
    if (!allocated.ok()) return allocated.status();
    *buffer = *std::move(allocated);
  }
  places_.reserve(rows);
  tiles_.reserve(rows);
  return absl::OkStatus();
}

template <class T>
absl::StatusOr<std::span<const float>> ForwardPass<T>::Run(const StepPlan& plan,
                                                           std::span<const int32_t> outputs) {
  for (const BlockCopy& copy : plan.copies) cache_->CopyBlock(copy.source, copy.target);
  const int32_t tokens = static_cast<int32_t>(plan.tokens.size());
  if (tokens == 0) return std::span<const float>();
  LayOut(plan);
  Embed(plan);
  for (int32_t layer = 0; layer < spec_->layers; ++layer) {
    const absl::Status status = RunLayer(layer, tokens);
    if (!status.ok()) return status;
  }
  const int64_t hidden = spec_->hidden_size;
  const std::vector<float>& last_bias = weights_->layers.back().down_bias;
  const RmsNormWeights norm{weights_->final_norm.data(), static_cast<float>(spec_->norm_epsilon),
                            spec_->hidden_size};
  ForEachRow(settings_.threads, static_cast<int32_t>(outputs.size()), hidden, [&](int32_t i) {
    const int64_t offset = outputs[i] * hidden;
    AddRmsNorm(norm, projected_.As<float>() + offset, DataOrNull(last_bias),
               residual_.As<float>() + offset, hidden_.As<float>() + i * hidden);
  });
  return std::span<const float>(hidden_.As<float>(), outputs.size() * hidden);
}

template <class T>
void ForwardPass<T>::LayOut(const StepPlan& plan) {
  AttentionInput input;
  input.layout = cache_->size().layout;
  input.heads = spec_->heads;
  const int32_t block_tokens = input.layout.block_tokens;
  places_.clear();
  tiles_.clear();
  for (const PlanRow& row : plan.rows) {
    const BlockId* blocks = plan.blocks.data() + row.block_begin;
    for (int32_t i = 0; i < row.token_count; ++i) {
      const int32_t position = row.first_position + i;
      places_.push_back({position, blocks[position / block_tokens], position % block_tokens});
    }
    const int32_t step =
        AttentionTileTokens(input, row.first_position + row.token_count, scratch_floats_);
    for (int32_t i = 0; i < row.token_count; i += step) {
      tiles_.push_back({blocks, row.token_begin + i, std::min(step, row.token_count - i),
                        row.first_position + i});
    }
  }
}

template <class T>
void ForwardPass<T>::Embed(const StepPlan& plan) {
  const int64_t hidden = spec_->hidden_size;
  const int64_t half = spec_->head_dim / 2;
  ForEachRow(settings_.threads, static_cast<int32_t>(plan.tokens.size()), hidden, [&](int32_t i) {
    float* const row = residual_.As<float>() + i * hidden;
    const int64_t first = plan.tokens[i] * hidden;
    if constexpr (std::is_same_v<T, Bf16>) {
      // Rounded to the model's precision, whatever the checkpoint's.
      Bf16* const rounded = normed_.As<Bf16>() + i * hidden;
      ConvertElements(weights_->embedding, first, hidden, rounded);
      Convert(rounded, hidden, row);
    } else {
      ConvertElements(weights_->embedding, first, hidden, row);
    }
    RotaryAngles(frequencies_, places_[i].position, cosines_.As<float>() + i * half,
                 sines_.As<float>() + i * half);
  });
}

template <class T>
absl::Status ForwardPass<T>::RunLayer(int32_t index, int32_t tokens) {
  const LayerWeights<T>& layer = weights_->layers[index];
  const bool first = index == 0;
  static const std::vector<float> no_bias;
  Normalize(layer.attention_norm, first ? nullptr : projected_.As<float>(),
            first ? no_bias : weights_->layers[index - 1].down_bias, tokens);
  absl::Status status = layer.qkv.Multiply(normed_.As<T>(), tokens, qkv_.As<float>());
  if (!status.ok()) return status;
  StoreKeysAndValues(index, tokens);
  Attention(index);
  status = layer.attention_output.Multiply(attended_.As<T>(), tokens, projected_.As<float>());
  if (!status.ok()) return status;
  Normalize(layer.mlp_norm, projected_.As<float>(), layer.attention_output_bias, tokens);
  status = layer.gate_up.Multiply(normed_.As<T>(), tokens, gate_up_.As<float>());
  if (!status.ok()) return status;
  Activate(layer, tokens);
  return layer.down.Multiply(activated_.As<T>(), tokens, projected_.As<float>());
}

// residual += delta + delta_bias; normed = norm(residual).
template <class T>
void ForwardPass<T>::Normalize(const std::vector<float>& scale, const float* delta,
                               const std::vector<float>& delta_bias, int32_t tokens) {
  const int64_t hidden = spec_->hidden_size;
  const RmsNormWeights norm{scale.data(), static_cast<float>(spec_->norm_epsilon),
                            spec_->hidden_size};
  ForEachRow(settings_.threads, tokens, hidden, [&](int32_t i) {
    AddRmsNorm(norm, delta == nullptr ? nullptr : delta + i * hidden, DataOrNull(delta_bias),
               residual_.As<float>() + i * hidden, normed_.As<T>() + i * hidden);
  });
}

template <class T>
void ForwardPass<T>::StoreKeysAndValues(int32_t layer, int32_t tokens) {
  const int64_t half = spec_->head_dim / 2;
  const int64_t stride = spec_->QkvSize();
  const float* bias = DataOrNull(weights_->layers[layer].qkv_bias);
  ForEachRow(settings_.threads, tokens, stride, [&](int32_t i) {
    const RotaryToken token{qkv_.As<float>() + i * stride,
                            bias,
                            cosines_.As<float>() + i * half,
                            sines_.As<float>() + i * half,
                            spec_->heads,
                            places_[i].block,
                            places_[i].slot};
    RotateAndStore(cache_->size().layout, token, cache_->LayerKeys(layer),
                   cache_->LayerValues(layer));
  });
}

template <class T>
void ForwardPass<T>::Attention(int32_t layer) {
  const AttentionInput input{cache_->size().layout, spec_->heads, qkv_.As<float>(),
                             spec_->QkvSize()};
  const T* keys = cache_->LayerKeys(layer);
  const T* values = cache_->LayerValues(layer);
  const int32_t tasks = static_cast<int32_t>(tiles_.size()) * spec_->kv_heads;
#pragma omp parallel for num_threads(settings_.threads) schedule(dynamic)
  for (int32_t task = 0; task < tasks; ++task) {
    float* const scratch = scores_.As<float>() + omp_get_thread_num() * scratch_floats_;
    Attend(input, tiles_[task / spec_->kv_heads], task % spec_->kv_heads, keys, values, scratch,
           attended_.As<T>());
  }
}

template <class T>
void ForwardPass<T>::Activate(const LayerWeights<T>& layer, int32_t tokens) {
  const int64_t size = spec_->intermediate_size;
  ForEachRow(settings_.threads, tokens, 4 * size, [&](int32_t i) {
    SwiGlu(gate_up_.As<float>() + i * 2 * size, DataOrNull(layer.gate_up_bias), size,
           activated_.As<T>() + i * size);
  });
}

template <class T>
absl::Status ForwardPass<T>::Logits(std::span<const float> hidden, int32_t rows,
                                    std::span<float> logits) {
  for (int32_t first = 0; first < rows; first += settings_.max_head_rows) {
    const int32_t count = std::min(settings_.max_head_rows, rows - first);
    const absl::Status status =
        HeadGroup(hidden.data() + int64_t{first} * spec_->hidden_size, count,
                  logits.data() + int64_t{first} * spec_->vocabulary_size);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

template <class T>
absl::Status ForwardPass<T>::HeadGroup(const float* hidden, int32_t rows, float* logits) {
  Convert(hidden, int64_t{rows} * spec_->hidden_size, head_input_.As<T>());
  // The product writes padded rows too, which the caller's memory may not have.
  const bool in_place = PaddedRows(rows) == rows;
  float* const output = in_place ? logits : head_output_.As<float>();
  const absl::Status status = weights_->head.Multiply(head_input_.As<T>(), rows, output);
  if (!status.ok() || in_place) return status;
  const int64_t vocabulary = spec_->vocabulary_size;
  ForEachRow(settings_.threads, rows, vocabulary, [&](int32_t row) {
    std::memcpy(logits + row * vocabulary, output + row * vocabulary, vocabulary * sizeof(float));
  });
  return absl::OkStatus();
}

template class ForwardPass<float>;
template class ForwardPass<Bf16>;

}  // namespace hocket
