// The running service: the gRPC server, the models behind it and the metrics page beside it. Made
// and stopped on one thread.
#ifndef HOCKET_SERVICE_SERVER_H_
#define HOCKET_SERVICE_SERVER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "service/live_settings.h"
#include "service/model_to_host.h"
#include "service/server_settings.h"

namespace hocket {

class Server {
 public:
  // Starts everything and listens. `models`: at least one; the first answers requests that name
  // none. INVALID_ARGUMENT for a bad setting, two models of one name or a trace's file that cannot
  // be written, UNAVAILABLE naming the address when it cannot be had.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerSettings& settings,
                                                       std::vector<ModelToHost> models);
  virtual ~Server() = default;

  virtual int32_t port() const = 0;
  virtual int32_t metrics_port() const = 0;  // -1 when there is none.

  // The configuration has been read again: takes over what can change now. An error has changed
  // nothing, and is only counted. Any thread.
  virtual void Reload(const absl::StatusOr<LiveSettings>& live) = 0;

  // Health says NOT_SERVING and new requests are refused; waits for those held, of all models at
  // once, until `deadline`, then ends them, and stops listening. Returns how many had to be ended.
  // Once only.
  virtual int Stop(absl::Time deadline) = 0;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_SERVER_H_
