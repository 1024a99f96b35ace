#include "runtime/sampling/row_explanation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "runtime/sampling/logit_edits.h"
#include "runtime/sampling/row_filters.h"
#include "runtime/sampling/row_passes.h"

namespace hocket {
namespace {

std::vector<TokenId> Likeliest(std::span<const float> logits, TokenId drawn, int32_t count,
                               RowScratch& scratch) {
  std::vector<TokenId> tokens;
  for (const uint64_t packed : SortedTop(logits.data(), logits.size(), count, scratch)) {
    tokens.push_back(PackedId(packed));
  }
  if (std::find(tokens.begin(), tokens.end(), drawn) == tokens.end()) tokens.push_back(drawn);
  return tokens;
}

class Explainer {
 public:
  Explainer(std::span<float> logits, const RowRequest& request, RowScratch& scratch)
      : logits_(logits), request_(request), scratch_(scratch) {
    max_ = row_passes::ScanRow(logits.data(), logits.size(), scratch).max;
  }

  Explanation Explain(TokenId drawn, int32_t count) {
    explanation_.token = drawn;
    explanation_.candidates = Likeliest(logits_, drawn, count, scratch_);
    RowRequest partial;  // The chain up to a part.
    Show("model", partial);
    partial.masked = request_.masked;
    partial.edits = request_.edits;
    if (!request_.masked.empty() || request_.edits != nullptr) Show("bans, penalties", partial);
    if (IsGreedy(request_)) {
      ShowGreedy(drawn);
      return std::move(explanation_);
    }
    if (request_.temperature != 1) {
      partial.temperature = request_.temperature;
      Show("temperature", partial);
    }
    ShowFilters(partial);
    return std::move(explanation_);
  }

 private:
  void ShowFilters(RowRequest partial) {
    const auto add = [&](const char* name, auto member, auto off) {
      if (request_.*member == off) return;
      partial.*member = request_.*member;
      Show(name, partial);
    };
    add("top-n-sigma", &RowRequest::top_n_sigma, 0.0f);
    add("top-k", &RowRequest::top_k, 0);
    add("top-p", &RowRequest::top_p, 1.0f);
    add("min-p", &RowRequest::min_p, 0.0f);
    add("typical-p", &RowRequest::typical_p, 1.0f);
    add("xtc", &RowRequest::xtc_threshold, 0.0f);
  }

  void Show(const char* name, const RowRequest& partial) {
    const EditedRow row = ApplyEdits(logits_, max_, partial, scratch_);
    const KeptTokens kept = FilterRow(row.logits, logits_.size(), row.max, partial, scratch_);
    ExplainedStage& stage = explanation_.stages.emplace_back();
    stage.name = name;
    stage.probabilities.assign(explanation_.candidates.size(), 0);
    const double temperature = partial.temperature;
    for (size_t i = 0; i < kept.candidates.count; ++i) {
      const float key = kept.candidates.keys[i];
      if (!kept.Keeps(i) || key == -std::numeric_limits<float>::infinity()) continue;
      ++stage.kept;
      const auto found = std::find(explanation_.candidates.begin(), explanation_.candidates.end(),
                                   kept.candidates.Id(i));
      if (found == explanation_.candidates.end()) continue;
      const double weight =
          key == row.max ? 1 : std::exp((static_cast<double>(key) - row.max) / temperature);
      stage.probabilities[found - explanation_.candidates.begin()] =
          static_cast<float>(weight / (static_cast<double>(kept.weight) * 0x1p-40));
    }
    RestoreEdits(logits_, partial, scratch_);
  }

  void ShowGreedy(TokenId drawn) {
    ExplainedStage& stage = explanation_.stages.emplace_back();
    stage.name = "greedy";
    stage.kept = 1;
    for (const TokenId token : explanation_.candidates) {
      stage.probabilities.push_back(token == drawn ? 1.0f : 0.0f);
    }
  }

  std::span<float> logits_;
  const RowRequest& request_;
  RowScratch& scratch_;
  float max_;
  Explanation explanation_;
};

}  // namespace

Explanation ExplainRow(std::span<float> logits, const RowRequest& request, TokenId drawn,
                       int32_t count, RowScratch& scratch) {
  return Explainer(logits, request, scratch).Explain(drawn, count);
}

}  // namespace hocket
