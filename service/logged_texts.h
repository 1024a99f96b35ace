// What one call was asked and answered, kept for its line in the log where --log-prompts is given.
// For one thread at a time.
#ifndef HOCKET_SERVICE_LOGGED_TEXTS_H_
#define HOCKET_SERVICE_LOGGED_TEXTS_H_

#include <string>
#include <vector>

#include "service/answer.h"
#include "service/event_log.h"
#include "service/request_log.h"

namespace hocket {

class LoggedTexts {
 public:
  // Each batch that the call's client is sent, in order.
  void Add(const EventBatch& batch);

  // With the prompt as the model saw it, special tokens included.
  void Put(const AnswerContext& context, RequestRecord& record) const;

 private:
  std::vector<std::string> answers_;  // By choice.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_LOGGED_TEXTS_H_
