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

// Makes a stream's messages from consecutive batches. The request's last Finished carries the
// usage, so the finish of its last choice waits for the request's own. One per call; not
// thread-safe.
class StreamAnswer {
 public:
  // Most scores of prompt tokens in one message: with 20 alternatives each and their spelling, it
  // stays far under gRPC's default limit of 4 MiB.
  static constexpr size_t kScoresPerMessage = 1024;
  // And most of a choice's tokens and text: where much comes at once (the best of several, beams, a
  // slow reader), it comes in several deltas.
  static constexpr size_t kTokensPerMessage = 1024;
  static constexpr size_t kTextBytesPerMessage = size_t{1} << 20;

  // In order; empty for a refusal.
  std::vector<v1::StreamGenerateResponse> Messages(EventBatch batch, const AnswerContext& context);

 private:
  void AddPromptScores(const EventBatch& batch, const AnswerContext& context,
                       std::vector<v1::StreamGenerateResponse>& messages);
  void AddDeltas(const Outcome& choice, const AnswerContext& context,
                 std::vector<v1::StreamGenerateResponse>& messages) const;
  // Of the choices that have not been told to have ended.
  void AddEnd(const FinishedEvent& end, const AnswerContext& context,
              std::vector<v1::StreamGenerateResponse>& messages);

  bool prompt_scores_begun_ = false;
  std::vector<std::optional<Finish>> finishes_;  // By choice.
  int32_t finished_choices_ = 0;
  std::vector<bool> told_;  // By choice: its Finished has been sent.
};

// What a request of one choice that a shutdown ended may go on from, or none.
std::optional<v1::Resume> ResumeOf(const EventBatch& batch, const AnswerContext& context);

// The whole of a request's events, folded.
v1::GenerateResponse GenerateAnswer(const EventBatch& batch, const AnswerContext& context);
v1::ScoreResponse ScoreAnswer(const EventBatch& batch, const AnswerContext& context);
v1::EmbedResponse EmbedAnswer(const EventBatch& batch, const AnswerContext& context);

}  // namespace hocket

#endif  // HOCKET_SERVICE_ANSWER_H_
