// The TCP sockets of one address that clients connect to: several where a name stands for several
// addresses. A move-only value.
#ifndef HOCKET_SERVICE_LISTENING_SOCKETS_H_
#define HOCKET_SERVICE_LISTENING_SOCKETS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/descriptor.h"

namespace hocket {

// Whether only programs on this machine reach a server that listens there: 127.0.0.0/8, ::1 (with
// brackets or without) or "localhost".
bool IsLoopback(const std::string& host);

class ListeningSockets {
 public:
  // Binds and listens, not blocking. `host`: an address, a name or 0.0.0.0 or [::], each of which
  // means every address of both families. `port` 0: any free one, the same for all. UNAVAILABLE
  // when the port is taken, by anybody: sockets are never shared.
  static absl::StatusOr<ListeningSockets> Open(const std::string& host, int32_t port);

  const std::vector<Descriptor>& sockets() const { return sockets_; }
  int32_t port() const { return port_; }
  void CloseAll() { sockets_.clear(); }

 private:
  std::vector<Descriptor> sockets_;
  int32_t port_ = 0;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_LISTENING_SOCKETS_H_
