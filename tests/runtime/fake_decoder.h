// A decoder without a model: it keeps real paged "keys" (the tokens themselves), so that what a row
// sees depends on its block table, and leaves the logits to a function of the tokens so far.
#ifndef HOCKET_TESTS_RUNTIME_FAKE_DECODER_H_
#define HOCKET_TESTS_RUNTIME_FAKE_DECODER_H_

#include <functional>
#include <map>
#include <span>
#include <vector>

#include "runtime/model/decoder.h"

namespace hocket {

class FakeDecoder final : public Decoder {
 public:
  // Fills the logits that follow these tokens; they come as zeros.
  using LogitsOf = std::function<void(std::span<const TokenId> tokens, std::span<float> logits)>;

  FakeDecoder(int32_t vocabulary_size, LogitsOf logits_of);

  const ModelInfo& info() const override { return info_; }
  absl::StatusOr<std::span<const float>> Forward(const StepPlan& plan,
                                                 std::span<const int32_t> outputs) override;
  absl::Status Logits(std::span<const float> hidden, int32_t rows,
                      std::span<float> logits) override;

  ModelInfo& mutable_info() { return info_; }
  void FailNextForward(absl::Status status) { next_status_ = std::move(status); }
  int32_t largest_logits_call() const { return largest_logits_call_; }

 private:
  ModelInfo info_;
  LogitsOf logits_of_;
  absl::Status next_status_;
  int32_t largest_logits_call_ = 0;
  std::map<BlockId, std::vector<TokenId>> blocks_;
  std::vector<float> hidden_;  // [outputs, hidden_size], a hash of the tokens so far.
  std::map<std::vector<float>, std::vector<TokenId>> seen_;  // The tokens behind each row of these.
};

// Logits N(0, 2) that depend on all tokens so far.
void RandomLogitsOf(std::span<const TokenId> tokens, std::span<float> logits);

// After a prompt of so many tokens, the tokens of `script` in turn are by far the most likely.
FakeDecoder::LogitsOf Script(size_t prompt_tokens, std::vector<TokenId> script);

}  // namespace hocket

#endif  // HOCKET_TESTS_RUNTIME_FAKE_DECODER_H_
