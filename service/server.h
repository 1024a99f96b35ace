// The running service: the gRPC server, the engine behind it and the metrics page beside it. Server
// is made and stopped on one thread; RunServer is what `hocket serve` calls.
#ifndef HOCKET_SERVICE_SERVER_H_
#define HOCKET_SERVICE_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/model_runtime.h"
#include "scheduler/scheduler.h"
#include "service/model_text.h"
#include "service/stop_signals.h"

namespace hocket {

// "127.0.0.1:50051", or "[::1]:50051".
std::string ListenAddress(const std::string& host, int32_t port);

struct ServerSettings {
  std::string host = "127.0.0.1";
  int32_t port = 50051;  // 0: any free port.
  std::string metrics_host = "127.0.0.1";
  int32_t metrics_port = 9464;   // 0: any free port; -1: no metrics page.
  std::string model_name;        // What requests call the model; empty: its folder's name.
  std::string trace_plans_file;  // Gets the scheduler's decisions; empty: none.

  int64_t max_prompt_bytes = 1 << 20;        // Of a request's text or chat, all messages together.
  int32_t max_message_bytes = 8 << 20;       // Of one gRPC message received.
  int32_t max_concurrent_streams = 1024;     // Per connection.
  int32_t max_text_threads = 2;              // Threads that render chats and tokenize.
  int32_t max_queued_texts = 1024;           // Requests that may wait for one.
  absl::Duration drain = absl::Seconds(30);  // Grace for running requests after the first signal.
  bool prompt_lookup = false;                // Speculation where requests do not say.
  bool reflection = true;                    // The gRPC reflection service, for grpcurl.
  bool channelz = false;                     // The gRPC channelz service.

  // INVALID_ARGUMENT naming the setting, the value and the range.
  absl::Status Validate() const;
};

// What is served. Everything pointed to must outlive the server.
struct ServedModel {
  ModelInfo info;
  const ModelText* text = nullptr;
  Executor* executor = nullptr;
};

class Server {
 public:
  // Starts everything and listens. INVALID_ARGUMENT for a bad setting or a trace's file that cannot
  // be written, UNAVAILABLE naming the address when it cannot be had.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerSettings& settings,
                                                       const SchedulerSettings& scheduler,
                                                       const ServedModel& model);
  virtual ~Server() = default;

  virtual int32_t port() const = 0;
  virtual int32_t metrics_port() const = 0;  // -1 when there is none.

  // Health says NOT_SERVING and new requests are refused; waits for those held until `deadline`,
  // then ends them, and stops listening. Returns how many had to be ended. Once only.
  virtual int Stop(absl::Time deadline) = 0;
};

// Serves until the first signal, then drains; a second signal ends the process at once. Prints
// `listening on HOST:PORT` and `metrics on HOST:PORT`, one line each, on standard output when
// ready.
absl::Status RunServer(const ServerSettings& settings, const SchedulerSettings& scheduler,
                       ModelRuntime& runtime, StopSignals& signals);

}  // namespace hocket

#endif  // HOCKET_SERVICE_SERVER_H_
