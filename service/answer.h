// From the engine's events to the client's messages. Pure; any thread.
#ifndef HOCKET_SERVICE_ANSWER_H_
#define HOCKET_SERVICE_ANSWER_H_

#include <optional>
#include <string>
#include <vector>

#include "hocket/v1/hocket.pb.h"
#include "scheduler/request.h"
#include "service/model_text.h"
#include "service/pending_events.h"
#include "service/validate.h"

namespace hocket {

// What an answer needs to know of its request.
struct AnswerContext {
  std::string model_name;
  const ModelText* text = nullptr;
  ValidRequest request;
};

v1::FinishReason FinishReasonOf(FinishReason reason);

// Makes a stream's messages from consecutive batches. One per call; not thread-safe.
class StreamAnswer {
 public:
  // Most scores of prompt tokens in one message: with 20 alternatives each and their spelling, it
  // stays far under gRPC's default limit of 4 MiB.
  static constexpr size_t kScoresPerMessage = 1024;

  // In order; empty for a refusal.
  std::vector<v1::StreamGenerateResponse> Messages(EventBatch batch, const AnswerContext& context);

 private:
  void AddPromptScores(const EventBatch& batch, const AnswerContext& context,
                       std::vector<v1::StreamGenerateResponse>& messages);
  bool prompt_scores_begun_ = false;
};

// What a request that a shutdown ended may go on from, or none.
std::optional<v1::Resume> ResumeOf(const EventBatch& batch);

// The whole of a request's events, folded.
v1::GenerateResponse GenerateAnswer(const EventBatch& batch, const AnswerContext& context);
v1::ScoreResponse ScoreAnswer(const EventBatch& batch, const AnswerContext& context);
v1::EmbedResponse EmbedAnswer(const EventBatch& batch, const AnswerContext& context);

}  // namespace hocket

#endif  // HOCKET_SERVICE_ANSWER_H_
