#include "runtime/model/plan_check.h"

#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

absl::Status OutOfRange(const std::string& what, int64_t value, const std::string& range) {
  return absl::InvalidArgumentError(absl::StrCat(what, " is ", value, ", expected ", range));
}

absl::Status CheckBlock(const PlanLimits& limits, const std::string& what, BlockId block) {
  if (block >= 0 && block < limits.blocks) return absl::OkStatus();
  return OutOfRange(what, block, absl::StrCat("0 to ", limits.blocks - 1));
}

absl::Status CheckRow(const PlanLimits& limits, const StepPlan& plan, const PlanRow& row,
                      int64_t expected_token_begin) {
  if (row.token_count < 1) return OutOfRange("a row's token_count", row.token_count, "at least 1");
  if (row.token_begin != expected_token_begin) {
    return OutOfRange("a row's token_begin", row.token_begin, absl::StrCat(expected_token_begin));
  }
  const int64_t token_end = int64_t{row.token_begin} + row.token_count;
  if (token_end > static_cast<int64_t>(plan.tokens.size())) {
    return OutOfRange("a row's last token", token_end,
                      absl::StrCat("at most ", plan.tokens.size()));
  }
  const int64_t positions = int64_t{row.first_position} + row.token_count;
  if (row.first_position < 0 || positions > limits.max_context_tokens) {
    return OutOfRange("a row's position",
                      row.first_position < 0 ? row.first_position : positions - 1,
                      absl::StrCat("0 to ", limits.max_context_tokens - 1));
  }
  const int64_t block_end = int64_t{row.block_begin} + row.block_count;
  if (row.block_begin < 0 || row.block_count < 0 ||
      block_end > static_cast<int64_t>(plan.blocks.size())) {
    return OutOfRange("a row's block table end", block_end,
                      absl::StrCat("at most ", plan.blocks.size()));
  }
  if (int64_t{row.block_count} * limits.block_tokens < positions) {
    return OutOfRange("a row's block_count", row.block_count,
                      absl::StrCat("enough blocks of ", limits.block_tokens, " tokens for ",
                                   positions, " positions"));
  }
  for (const BlockId block : plan.RowBlocks(row)) {
    const absl::Status status = CheckBlock(limits, "a row's block", block);
    if (!status.ok()) return status;
  }
  for (const TokenId token : plan.RowTokens(row)) {
    if (token < 0 || token >= limits.vocabulary_size) {
      return OutOfRange("a token id", token, absl::StrCat("0 to ", limits.vocabulary_size - 1));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckPlan(const PlanLimits& limits, const StepPlan& plan,
                       std::span<const int32_t> outputs) {
  const int64_t tokens = plan.tokens.size();
  if (tokens > limits.max_step_tokens) {
    return OutOfRange("the step's token count", tokens,
                      absl::StrCat("at most ", limits.max_step_tokens));
  }
  for (const BlockCopy& copy : plan.copies) {
    for (const BlockId block : {copy.source, copy.target}) {
      const absl::Status status = CheckBlock(limits, "a block copy's end", block);
      if (!status.ok()) return status;
    }
  }
  int64_t next_token = 0;
  for (const PlanRow& row : plan.rows) {
    const absl::Status status = CheckRow(limits, plan, row, next_token);
    if (!status.ok()) return status;
    next_token += row.token_count;
  }
  if (next_token != tokens) {
    return OutOfRange("the number of tokens in rows", next_token, absl::StrCat(tokens));
  }
  int64_t previous = -1;
  for (const int32_t output : outputs) {
    if (output <= previous || output >= tokens) {
      return OutOfRange("an output", output,
                        absl::StrCat("above the one before and below ", tokens));
    }
    previous = output;
  }
  return absl::OkStatus();
}

}  // namespace hocket
