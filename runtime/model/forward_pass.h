// One step through the decoder: embeds the plan's tokens, runs every layer and the head. Owns the
// step's memory, allocated once; borrows weights, KV storage and team. Called by the engine thread;
// a step is one parallel region of the team.
//
// Many rows are cut into batches, each of which one member carries through a layer's products;
// members meet only around attention. With few rows the whole team shares each product's outputs
// out, and members meet after each. The bits are the same.
#ifndef HOCKET_RUNTIME_MODEL_FORWARD_PASS_H_
#define HOCKET_RUNTIME_MODEL_FORWARD_PASS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/kernels/paged_attention.h"
#include "runtime/kernels/rms_norm.h"
#include "runtime/kernels/team.h"
#include "runtime/kernels/weight_matrix.h"
#include "runtime/model/architecture_spec.h"
#include "runtime/model/kv_storage.h"
#include "runtime/model/model_weights.h"
#include "runtime/model/step_arena.h"
#include "scheduler/step.h"

namespace hocket {

struct ForwardSettings {
  int32_t max_step_tokens = 0;
  int32_t max_head_rows = 0;
};

class ForwardPass {
 public:
  // spec, weights, cache and team outlive it.
  static absl::StatusOr<std::unique_ptr<ForwardPass>> Create(const ArchitectureSpec& spec,
                                                             const ModelWeights& weights,
                                                             KvStorage& cache, Team& team,
                                                             const ForwardSettings& settings);

  // The plan has been checked. Returns normed hidden states [outputs.size(), hidden].
  absl::StatusOr<std::span<const float>> Run(const StepPlan& plan,
                                             std::span<const int32_t> outputs);

  // hidden [rows, hidden] to logits [rows, vocabulary], in groups of max_head_rows.
  absl::Status Logits(std::span<const float> hidden, int32_t rows, std::span<float> logits);

  // Of the step's memory.
  int64_t bytes() const { return arena_.bytes() + attention_.bytes(); }

 private:
  // One member's own memory.
  struct Scratch {
    float* row = nullptr;        // A row before it becomes an input.
    std::byte* input = nullptr;  // Few rows, which each member makes for itself.
    float* input_scales = nullptr;
    std::byte* product = nullptr;
    std::byte* attention = nullptr;
    absl::Status status;  // The first error.
  };

  // Rows that go through products together.
  struct Batch {
    IndexRange rows;
    bool whole_team = false;      // All members compute it; else the one that has it.
    bool inputs_by_each = false;  // Of the whole team's few rows, each member makes all inputs.
  };

  ForwardPass(const ArchitectureSpec& spec, const ModelWeights& weights, KvStorage& cache,
              Team& team, const ForwardSettings& settings)
      : spec_(spec), weights_(weights), cache_(cache), team_(team), settings_(settings) {}

  absl::Status PlanMemory();
  void LayOut(const StepPlan& plan);
  RmsNormWeights NormOf(const std::vector<float>& scale) const;
  // Runs f(member) on the team. The first error of any member.
  template <class F>
  absl::Status OnTeam(F&& f);

  // Calls f(batch) for batches that cover [0, rows), and returns when all are done. Every member
  // calls this.
  template <class F>
  void ForEachBatch(TeamMember& member, int64_t rows, F&& f);
  static IndexRange OwnRows(const TeamMember& member, const Batch& batch);

  void RunMember(TeamMember& member, const StepPlan& plan, std::span<const int32_t> outputs);
  void Embed(TeamMember& member, const StepPlan& plan);
  void Project(TeamMember& member, int32_t layer, const Batch& batch);
  void Attend(TeamMember& member, int32_t layer);
  void OutputAndMlp(TeamMember& member, int32_t layer, const Batch& batch, float* residual,
                    std::span<const int32_t> taken);
  void NormalizeFinally(const TeamMember& member, IndexRange rows);

  // Makes the inputs of what make_row(row, float* own) returns, which may be `own`, filled, or a
  // row that lies elsewhere; then computes the product.
  template <class MakeRow>
  void Product(TeamMember& member, const WeightMatrix& matrix, const Batch& batch,
               const ProductOutput& output, MakeRow&& make_row);

  const ArchitectureSpec& spec_;
  const ModelWeights& weights_;
  KvStorage& cache_;
  Team& team_;
  const ForwardSettings settings_;
  std::vector<float> frequencies_;  // [head_dim / 2]

  // The step's layout, made anew by each.
  std::vector<int32_t> positions_;  // [tokens]
  AttentionPlan attention_;

  std::vector<Scratch> scratch_;  // [threads]

  int64_t input_bytes_ = 0;  // Of a row as any product's input, at most.

  // Rows are max_step_tokens, padded as products may read them.
  StepArena arena_;
  float* residual_ = nullptr;        // [rows][hidden]
  float* qkv_ = nullptr;             // [rows][(heads + 2 * kv_heads) * head_dim]
  float* attended_ = nullptr;        // [rows][heads * head_dim]
  float* activated_ = nullptr;       // [rows][intermediate]
  float* hidden_ = nullptr;          // [rows][hidden], the rows that are wanted
  float* cosines_ = nullptr;         // [rows][head_dim / 2]
  float* sines_ = nullptr;           // [rows][head_dim / 2]
  std::byte* input_data_ = nullptr;  // [rows][input_bytes_]
  float* input_scales_ = nullptr;    // [rows]
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_FORWARD_PASS_H_
