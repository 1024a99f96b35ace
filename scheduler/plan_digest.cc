#include "scheduler/plan_digest.h"

#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

// FNV-1a over 64-bit words.
class Digest {
 public:
  void Add(int64_t value) {
    value_ = (value_ ^ static_cast<uint64_t>(value)) * 0x100000001b3u;
    value_ ^= value_ >> 32;
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

}  // namespace

uint64_t PlanDigest(const StepPlan& plan) {
  Digest digest;
  digest.Add(plan.step);
  digest.Add(static_cast<int64_t>(plan.ends.size()));
  for (const SequenceId sequence : plan.ends) digest.Add(static_cast<int64_t>(sequence));
  digest.Add(static_cast<int64_t>(plan.starts.size()));
  for (const SequenceStart& start : plan.starts) {
    digest.Add(static_cast<int64_t>(start.sequence));
    digest.Add(static_cast<int64_t>(start.group));
    digest.Add(start.choice_index);
  }
  digest.Add(static_cast<int64_t>(plan.copies.size()));
  for (const BlockCopy& copy : plan.copies) {
    digest.Add(copy.source);
    digest.Add(copy.target);
  }
  for (const PlanRow& row : plan.rows) {
    digest.Add(static_cast<int64_t>(row.sequence));
    digest.Add(row.first_position);
    digest.Add(row.token_count);
    digest.Add(row.block_count);
    digest.Add(row.samples ? 1 : 0);
    digest.Add(row.forgotten_tokens);
    digest.Add(row.draft_tokens);
  }
  for (const TokenId token : plan.tokens) digest.Add(token);
  for (const BlockId block : plan.blocks) digest.Add(block);
  return digest.value();
}

std::string PlanSummary(const StepPlan& plan) {
  std::string text = absl::StrCat("step ", plan.step);
  for (const SequenceId sequence : plan.ends) absl::StrAppend(&text, " ends ", sequence);
  for (const SequenceStart& start : plan.starts) absl::StrAppend(&text, " starts ", start.sequence);
  if (!plan.copies.empty()) absl::StrAppend(&text, " copies ", plan.copies.size());
  for (const PlanRow& row : plan.rows) {
    absl::StrAppend(&text, " ", row.sequence, "@", row.first_position, "+", row.token_count,
                    row.samples ? "*" : "");
  }
  return text;
}

}  // namespace hocket
