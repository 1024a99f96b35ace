#include "runtime/model/forward_pass.h"

#include <algorithm>
#include <cstring>

#include "runtime/kernels/rotary.h"
#include "runtime/model/checkpoint.h"

namespace hocket {
namespace {

// From this many rows a member on, a product is limited by arithmetic even if every member reads
// all of the weights.
constexpr int64_t kRowsWorthOwnMember = 48;

// Rows of a batch that one member carries: enough for full speed, few enough to share out evenly.
constexpr int64_t kBatchRows = 64;

// Batches begin at multiples of this, which kernels like.
constexpr int64_t kRowStep = 16;

// Pieces of a product that the whole team computes, for each member.
constexpr int64_t kPiecesOfMember = 4;

// Up to this many rows, making the inputs takes less time than a barrier.
constexpr int64_t kRowsMadeByEach = 2;

// Products may read up to this many rows after the last.
constexpr int64_t kRowPadding = 128;

// Rows of int8 are an odd number of cache lines apart, so that the rows of a tile do not all fall
// into the same set of the cache.
int64_t InputStride(RowFormat format, int64_t inputs) {
  const int64_t bytes = InputRowBytes(format, inputs);
  return format == RowFormat::kInt8 && bytes / 64 % 2 == 0 ? bytes + 64 : bytes;
}

const float* DataOrNull(const std::vector<float>& values) {
  return values.empty() ? nullptr : values.data();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ForwardPass>> ForwardPass::Create(const ArchitectureSpec& spec,
                                                                 const ModelWeights& weights,
                                                                 KvStorage& cache, Team& team,
                                                                 const ForwardSettings& settings) {
  std::unique_ptr<ForwardPass> pass(new ForwardPass(spec, weights, cache, team, settings));
  pass->frequencies_ = RotaryFrequencies(spec.rotary, spec.head_dim);
  pass->positions_.reserve(settings.max_step_tokens);
  auto attention = AttentionPlan::Create({cache.size().shape, spec.heads, team.threads(),
                                          settings.max_step_tokens, spec.max_context_tokens});
  if (!attention.ok()) return attention.status();
  pass->attention_ = *std::move(attention);
  const absl::Status status = pass->PlanMemory();
  if (!status.ok()) return status;
  return pass;
}

absl::Status ForwardPass::PlanMemory() {
  const int64_t rows = settings_.max_step_tokens + kRowPadding;
  int64_t product_bytes = 0;
  const auto include = [&](const WeightMatrix& matrix) {
    input_bytes_ =
        std::max(input_bytes_, InputStride(matrix.input_format(), matrix.shape().inputs));
    product_bytes = std::max(product_bytes, matrix.scratch_bytes());
  };
  for (const LayerWeights& layer : weights_.layers) {
    include(*layer.qkv);
    include(*layer.attention_output);
    include(*layer.gate_up);
    include(*layer.down);
  }
  include(*weights_.head);
  arena_.Reserve(&residual_, rows * spec_.hidden_size);
  arena_.Reserve(&qkv_, rows * spec_.QkvSize());
  arena_.Reserve(&attended_, rows * spec_.AttentionSize());
  arena_.Reserve(&activated_, rows * spec_.intermediate_size);
  arena_.Reserve(&hidden_, rows * spec_.hidden_size);
  arena_.Reserve(&cosines_, rows * spec_.head_dim / 2);
  arena_.Reserve(&sines_, rows * spec_.head_dim / 2);
  arena_.Reserve(&input_data_, rows * input_bytes_);
  arena_.Reserve(&input_scales_, rows);
  scratch_.resize(team_.threads());
  for (Scratch& own : scratch_) {
    arena_.Reserve(&own.row, spec_.hidden_size);
    arena_.Reserve(&own.input, (kRowsMadeByEach + kRowPadding) * input_bytes_);
    arena_.Reserve(&own.input_scales, kRowsMadeByEach);
    arena_.Reserve(&own.product, product_bytes);
    arena_.Reserve(&own.attention, attention_.scratch_bytes());
  }
  return arena_.Allocate();
}

template <class F>
void ForwardPass::ForEachBatch(TeamMember& member, int64_t rows, F&& f) {
  const int64_t members = member.count();
  if (members > 1 && rows < kRowsWorthOwnMember * members) {
    f(Batch{{0, rows}, /*whole_team=*/true, /*inputs_by_each=*/rows <= kRowsMadeByEach});
    return;
  }
  const int64_t batches = (rows + kBatchRows * members - 1) / (kBatchRows * members) * members;
  member.ForEach(batches, [&](int64_t i) {
    const auto bound = [&](int64_t at) {
      return std::min(rows, (rows * at / batches + kRowStep - 1) / kRowStep * kRowStep);
    };
    const Batch batch{{bound(i), bound(i + 1)}, /*whole_team=*/false, /*inputs_by_each=*/false};
    if (batch.rows.size() > 0) f(batch);
  });
  member.Barrier();
}

absl::StatusOr<std::span<const float>> ForwardPass::Run(const StepPlan& plan,
                                                        std::span<const int32_t> outputs) {
  for (const BlockCopy& copy : plan.copies) cache_.CopyBlock(copy.source, copy.target);
  if (plan.tokens.empty()) return std::span<const float>();
  LayOut(plan);
  const absl::Status status = OnTeam([&](TeamMember& member) { RunMember(member, plan, outputs); });
  if (!status.ok()) return status;
  return std::span<const float>(hidden_, outputs.size() * spec_.hidden_size);
}

template <class F>
absl::Status ForwardPass::OnTeam(F&& f) {
  for (Scratch& own : scratch_) own.status = absl::OkStatus();
  team_.Run(f);
  for (const Scratch& own : scratch_) {
    if (!own.status.ok()) return own.status;
  }
  return absl::OkStatus();
}

RmsNormWeights ForwardPass::NormOf(const std::vector<float>& scale) const {
  return {scale.data(), static_cast<float>(spec_.norm_epsilon), spec_.hidden_size};
}

void ForwardPass::LayOut(const StepPlan& plan) {
  positions_.clear();
  attention_.Clear();
  for (const PlanRow& row : plan.rows) {
    attention_.Add({plan.blocks.data() + row.block_begin, row.token_begin, row.token_count,
                    row.first_position});
    for (int32_t i = 0; i < row.token_count; ++i) positions_.push_back(row.first_position + i);
  }
  attention_.Finish();
}

void ForwardPass::RunMember(TeamMember& member, const StepPlan& plan,
                            std::span<const int32_t> outputs) {
  const int64_t rows = static_cast<int64_t>(plan.tokens.size());
  const int64_t wanted = static_cast<int64_t>(outputs.size());
  const int32_t last = spec_.layers - 1;
  Embed(member, plan);
  ForEachBatch(member, rows, [&](const Batch& batch) { Project(member, 0, batch); });
  for (int32_t layer = 0; layer < last; ++layer) {
    Attend(member, layer);
    ForEachBatch(member, rows, [&](const Batch& batch) {
      OutputAndMlp(member, layer, batch, residual_, {});
      Project(member, layer + 1, batch);
    });
  }
  // After the last layer's attention only the rows that are wanted go on.
  Attend(member, last);
  ForEachBatch(member, wanted, [&](const Batch& batch) {
    const int64_t hidden = spec_.hidden_size;
    const IndexRange own = OwnRows(member, batch);
    for (int64_t i = own.begin; i < own.end; ++i) {
      std::memcpy(hidden_ + i * hidden, residual_ + outputs[i] * hidden, hidden * sizeof(float));
    }
    if (batch.whole_team) member.Barrier();
    OutputAndMlp(member, last, batch, hidden_, outputs);
    NormalizeFinally(member, own);
  });
}

void ForwardPass::Embed(TeamMember& member, const StepPlan& plan) {
  const int64_t hidden = spec_.hidden_size;
  const int64_t half = spec_.head_dim / 2;
  const IndexRange mine = member.Share(static_cast<int64_t>(plan.tokens.size()));
  for (int64_t i = mine.begin; i < mine.end; ++i) {
    scratch_[member.index()].status.Update(
        weights_.embedding.Read(plan.tokens[i], residual_ + i * hidden));
    RotaryAngles(frequencies_, positions_[i], cosines_ + i * half, sines_ + i * half);
  }
  member.Barrier();
}

IndexRange ForwardPass::OwnRows(const TeamMember& member, const Batch& batch) {
  return batch.whole_team ? member.Share(batch.rows.size()) : batch.rows;
}

template <class MakeRow>
void ForwardPass::Product(TeamMember& member, const WeightMatrix& matrix, const Batch& batch,
                          const ProductOutput& output, MakeRow&& make_row) {
  Scratch& own = scratch_[member.index()];
  const int64_t inputs = matrix.shape().inputs;
  const RowFormat format = matrix.input_format();
  const int64_t stride = InputStride(format, inputs);
  InputRows input{format, input_data_, stride, input_scales_};
  if (batch.inputs_by_each) {
    input.data = own.input;
    input.scales = own.input_scales;
  } else {
    // Batches go their own ways: each has room for rows of any product.
    input.data += batch.rows.begin * (input_bytes_ - stride);
  }
  const IndexRange made = batch.inputs_by_each ? batch.rows : OwnRows(member, batch);
  for (int64_t row = made.begin; row < made.end; ++row) {
    StoreInputRow(make_row(row, own.row), inputs, row, input);
  }
  if (!batch.whole_team) {
    own.status.Update(matrix.Multiply(input, batch.rows, {0, matrix.units()}, output, own.product));
    return;
  }
  if (!batch.inputs_by_each) member.Barrier();
  // Members take pieces as they come, so that one whom a neighbour holds up delays the others
  // little.
  const int64_t units = matrix.units();
  const int64_t pieces = std::min(units, kPiecesOfMember * member.count());
  member.ForEach(pieces, [&](int64_t i) {
    const IndexRange piece{units * i / pieces, units * (i + 1) / pieces};
    own.status.Update(matrix.Multiply(input, batch.rows, piece, output, own.product));
  });
  member.Barrier();
}

void ForwardPass::Project(TeamMember& member, int32_t index, const Batch& batch) {
  const LayerWeights& layer = weights_.layers[index];
  const RmsNormWeights norm = NormOf(layer.attention_norm);
  const int64_t hidden = spec_.hidden_size;
  Product(member, *layer.qkv, batch, {qkv_, spec_.QkvSize(), DataOrNull(layer.qkv_bias)},
          [&](int64_t row, float* to) {
            AddRmsNorm(norm, nullptr, nullptr, residual_ + row * hidden, to);
            return to;
          });
}

// `taken` names the rows of attended_ that go on, all of them when it is empty.
void ForwardPass::OutputAndMlp(TeamMember& member, int32_t index, const Batch& batch,
                               float* residual, std::span<const int32_t> taken) {
  const LayerWeights& layer = weights_.layers[index];
  const RmsNormWeights norm = NormOf(layer.mlp_norm);
  const int64_t hidden = spec_.hidden_size;
  const int64_t attention = spec_.AttentionSize();
  const int64_t intermediate = spec_.intermediate_size;
  Product(member, *layer.attention_output, batch,
          {residual, hidden, DataOrNull(layer.attention_output_bias), true},
          [&](int64_t row, float*) {
            return attended_ + (taken.empty() ? row : taken[row]) * attention;
          });
  Product(member, *layer.gate_up, batch, {activated_, intermediate, DataOrNull(layer.gate_up_bias)},
          [&](int64_t row, float* to) {
            AddRmsNorm(norm, nullptr, nullptr, residual + row * hidden, to);
            return to;
          });
  Product(member, *layer.down, batch, {residual, hidden, DataOrNull(layer.down_bias), true},
          [&](int64_t row, float*) { return activated_ + row * intermediate; });
}

void ForwardPass::NormalizeFinally(const TeamMember& member, IndexRange rows) {
  const int64_t hidden = spec_.hidden_size;
  const RmsNormWeights norm = NormOf(weights_.final_norm);
  float* const normed = scratch_[member.index()].row;
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    AddRmsNorm(norm, nullptr, nullptr, hidden_ + i * hidden, normed);
    std::memcpy(hidden_ + i * hidden, normed, hidden * sizeof(float));
  }
}

void ForwardPass::Attend(TeamMember& member, int32_t index) {
  const AttentionLayer layer{
      .kv = cache_.Layer(index),
      .qkv = qkv_,
      .qkv_stride = spec_.QkvSize(),
      .cosines = cosines_,
      .sines = sines_,
      .out = attended_,
      .out_stride = spec_.AttentionSize(),
  };
  std::byte* const scratch = scratch_[member.index()].attention;
  if (attention_.stores() > 0) {
    member.ForEach(attention_.stores(), [&](int64_t i) { attention_.Store(i, layer); });
    member.Barrier();
  }
  member.ForEach(attention_.tasks(), [&](int64_t i) { attention_.Run(i, layer, scratch); });
  member.Barrier();
  if (attention_.merges() > 0) {
    member.ForEach(attention_.merges(), [&](int64_t i) { attention_.Merge(i, layer); });
    member.Barrier();
  }
}

absl::Status ForwardPass::Logits(std::span<const float> hidden, int32_t rows,
                                 std::span<float> logits) {
  const int64_t size = spec_.hidden_size;
  const int64_t vocabulary = spec_.vocabulary_size;
  for (int32_t first = 0; first < rows; first += settings_.max_head_rows) {
    const int32_t count = std::min(settings_.max_head_rows, rows - first);
    const float* const from = hidden.data() + first * size;
    const absl::Status status = OnTeam([&](TeamMember& member) {
      ForEachBatch(member, count, [&](const Batch& batch) {
        Product(member, *weights_.head, batch, {logits.data() + first * vocabulary, vocabulary},
                [&](int64_t row, float*) { return from + row * size; });
      });
    });
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace hocket
