// From the engine's events to the client's messages. Pure; any thread.
#ifndef HOCKET_SERVICE_ANSWER_H_
#define HOCKET_SERVICE_ANSWER_H_

#include <optional>
#include <string>
#include <vector>

#include "hocket/v1/hocket.pb.h"
#include "scheduler/request.h"
#include "service/event_log.h"
#include "service/model_text.h"
#include "service/validate.h"

namespace hocket {

// What an answer needs to know of its request.
struct AnswerContext {
  std::string model_name;
  const ModelText* text = nullptr;
  ValidRequest request;
};

v1::FinishReason FinishReasonOf(FinishReason reason);
void SetDuration(absl::Duration from, google::protobuf::Duration* to);

// How much a stream's reader takes of the log at once, each part of which becomes a message: with
// 20 alternatives for each token and their spelling, it stays far under gRPC's default limit of 4
// MiB.
inline constexpr ReadLimits kMessageLimits = {
    .prompt_scores = 1024, .tokens = 1024, .text_bytes = size_t{1} << 20};

// Makes a stream's messages from consecutive batches. The request's last Finished carries the
// usage, so the finish of its last choice waits for the request's own. One per call; not
// thread-safe.
class StreamAnswer {
 public:
  // In order; empty for a refusal.
  std::vector<v1::StreamGenerateResponse> Messages(EventBatch batch, const AnswerContext& context);

 private:
  void AddPromptScores(const EventBatch& batch, const AnswerContext& context,
                       std::vector<v1::StreamGenerateResponse>& messages);
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
