// The log's line about a request that has ended: who asked what of which model, how it went, and
// where its time went. Prompts and answers stay out unless the caller puts them in. Any thread.
#ifndef HOCKET_SERVICE_REQUEST_LOG_H_
#define HOCKET_SERVICE_REQUEST_LOG_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "scheduler/request.h"
#include "service/trace_context.h"

namespace hocket {

// What is empty or unset is left out of the line.
struct RequestRecord {
  std::string request_id;
  absl::string_view method;  // "Generate".
  std::string model;
  std::string tenant;
  std::string key_name;  // Of the API key.
  std::string peer;      // As gRPC names it: "ipv4:10.0.0.7:41234".
  std::optional<TraceContext> trace;

  absl::Status status;                        // The call's end; its reason is told with it.
  std::optional<FinishedEvent> finished;      // Unless the engine never had the request.
  std::optional<absl::Duration> first_token;  // From the call's arrival on.
  std::optional<absl::Duration> total;        // From there to the end.

  // Only with --log-prompts: text or token ids as text, and the text of each choice.
  std::optional<std::string> prompt;
  std::vector<std::string> answers;
};

// One line, at the level error when the server itself failed, else info.
void LogRequest(const RequestRecord& record);

}  // namespace hocket

#endif  // HOCKET_SERVICE_REQUEST_LOG_H_
