#include "runtime/sampling/logit_edits.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/sampling/filter_kernels.h"
#include "runtime/sampling/row_passes.h"

namespace hocket {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();

// What was finite stays finite, and infinities stay what they are.
float Finite(float before, float after) {
  return std::isinf(before) ? before : std::clamp(after, -kLargest, kLargest);
}

float Penalized(float logit, const TokenCount& count, const LogitEdits& edits) {
  float out = logit;
  if (count.seen > 0) {
    const float penalty = edits.repetition_penalty;
    out = Finite(out, out > 0 ? out / penalty : out * penalty);
  }
  if (count.generated > 0) {
    out = Finite(out, out - edits.presence_penalty);
    out = Finite(out, out - edits.frequency_penalty * static_cast<float>(count.generated));
  }
  return out;
}

class Editor {
 public:
  Editor(std::span<float> logits, RowScratch& scratch) : logits_(logits), scratch_(scratch) {
    scratch_.edited_ids.clear();
    scratch_.edited_logits.clear();
  }

  void Ban(std::span<const TokenId> tokens) {
    for (const TokenId token : tokens) Set(token, -kInfinity);
  }
  void Add(std::span<const TokenBias> values, float sign) {
    for (const TokenBias& bias : values) {
      const float logit = logits_[bias.token];
      Set(bias.token, Finite(logit, logit + sign * bias.value));
    }
  }
  void Penalize(const LogitEdits& edits) {
    for (const TokenCount& count : edits.counts) {
      Set(count.token, Penalized(logits_[count.token], count, edits));
    }
  }

 private:
  void Set(TokenId token, float value) {
    scratch_.edited_ids.push_back(token);
    scratch_.edited_logits.push_back(logits_[token]);
    logits_[token] = value;
  }

  std::span<float> logits_;
  RowScratch& scratch_;
};

// After a change of the edited logits.
float Rescan(std::span<const float> logits, RowScratch& scratch) {
  const size_t count = scratch.edited_ids.size();
  if (count > scratch.chunk_max.size() / 2) {
    return row_passes::ScanRow(logits.data(), logits.size(), scratch).max;
  }
  return row_kernels::RescanChunks(logits.data(), logits.size(), scratch.edited_ids.data(), count,
                                   scratch.chunk_max.data());
}

bool HasMask(const RowRequest& request) {
  const LogitEdits* const edits = request.edits;
  return edits != nullptr && !(edits->allowed.empty() && edits->constraint.empty());
}

}  // namespace

EditedRow ApplyEdits(std::span<float> logits, float max, const RowRequest& request,
                     RowScratch& scratch) {
  Editor editor(logits, scratch);
  const LogitEdits* const edits = request.edits;
  if (edits != nullptr) {
    editor.Add(edits->bias, 1);
    editor.Ban(edits->banned);
    editor.Ban(edits->ended);
  }
  editor.Ban(request.masked);
  if (edits != nullptr) {
    editor.Penalize(*edits);
    editor.Add(edits->repeats, -1);
  }
  if (HasMask(request)) {
    const bool both = !edits->allowed.empty() && !edits->constraint.empty();
    const uint32_t* const mask =
        (edits->allowed.empty() ? edits->constraint : edits->allowed).data();
    return {scratch.masked.data(),
            row_passes::MaskRow(logits.data(), logits.size(), mask,
                                both ? edits->constraint.data() : nullptr, scratch)};
  }
  if (scratch.edited_ids.empty()) return {logits.data(), max};
  return {logits.data(), Rescan(logits, scratch)};
}

void RestoreEdits(std::span<float> logits, const RowRequest& request, RowScratch& scratch) {
  const size_t count = scratch.edited_ids.size();
  for (size_t i = count; i-- > 0;) {  // Backwards, lest one is named twice.
    logits[scratch.edited_ids[i]] = scratch.edited_logits[i];
  }
  if (HasMask(request)) {
    row_passes::ScanRow(logits.data(), logits.size(), scratch);
  } else if (count > 0) {
    Rescan(logits, scratch);
  }
}

}  // namespace hocket
