// What an operator sets of the server itself, beside its models. A plain value; any thread.
#ifndef HOCKET_SERVICE_SERVER_SETTINGS_H_
#define HOCKET_SERVICE_SERVER_SETTINGS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "service/metrics_page.h"
#include "service/model_health.h"
#include "service/security_settings.h"
#include "service/session_settings.h"

namespace hocket {

struct ServerSettings {
  std::string host = "127.0.0.1";
  int32_t port = 50051;  // 0: any free port.
  std::string metrics_host = "127.0.0.1";
  int32_t metrics_port = 9464;  // 0: any free port; -1: no metrics page.

  int64_t max_prompt_bytes = 1 << 20;     // Of a request's text or chat, all messages together.
  int32_t max_message_bytes = 8 << 20;    // Of one gRPC message received.
  int32_t max_concurrent_streams = 1024;  // Per connection.
  absl::Duration slow_sender = absl::Seconds(30);  // For a call's message to come whole.
  int32_t max_text_threads = 2;                    // Threads that render chats and tokenize.
  int32_t max_queued_texts = 1024;                 // Requests that may wait for one.
  absl::Duration drain = absl::Seconds(30);  // Grace for running requests after the first signal.
  SecuritySettings security;                 // Who may reach it, and how.
  SessionSettings sessions;                  // What is kept for clients that come back.
  HealthSettings health;                     // When a model is stalled, and when it is not ready.
  MetricsNames metrics_names;                // Beside our own.
  bool prompt_lookup = false;                // Speculation where requests do not say.
  bool log_prompts = false;                  // Prompts and answers in the log's request lines.
  std::optional<bool> reflection;            // For grpcurl; unset: where callers need no key.
  bool channelz = false;                     // The gRPC channelz service.

  // INVALID_ARGUMENT naming the setting, the value and the range.
  absl::Status Validate() const;
};

// "127.0.0.1:50051", or "[::1]:50051".
std::string ListenAddress(const std::string& host, int32_t port);

}  // namespace hocket

#endif  // HOCKET_SERVICE_SERVER_SETTINGS_H_
