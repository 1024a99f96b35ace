#include "service/listening_sockets.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace hocket {
namespace {

struct AddressesFreer {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, AddressesFreer>;

std::string WithoutBrackets(const std::string& host) {
  const bool bracketed = absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
  return bracketed ? host.substr(1, host.size() - 2) : host;
}

absl::StatusOr<Addresses> Resolve(const std::string& host, int32_t port) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) return absl::UnavailableError(gai_strerror(error));
  return Addresses(list);
}

void SetOption(int socket, int level, int option, int value) {
  setsockopt(socket, level, option, &value, sizeof(value));
}

void SetPort(sockaddr* address, int32_t port) {
  const auto network_port = htons(static_cast<uint16_t>(port));
  if (address->sa_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = network_port;
  } else {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = network_port;
  }
}

int32_t PortOf(int socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

// An errno in `error` when it fails.
Descriptor ListenOn(const addrinfo& address, bool both_families, int& error) {
  Descriptor socket(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  error = errno;
  if (!socket.open()) return socket;
  // A restarted server gets its port although old connections are still being forgotten.
  SetOption(socket.number(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (address.ai_family == AF_INET6) {
    SetOption(socket.number(), IPPROTO_IPV6, IPV6_V6ONLY, both_families ? 0 : 1);
  }
  if (bind(socket.number(), address.ai_addr, address.ai_addrlen) != 0 ||
      listen(socket.number(), SOMAXCONN) != 0) {
    error = errno;
    socket.Close();
  }
  return socket;
}

}  // namespace

bool IsLoopback(const std::string& host) {
  const std::string address = WithoutBrackets(host);
  in_addr v4 = {};
  if (inet_pton(AF_INET, address.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6 = {};
  if (inet_pton(AF_INET6, address.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return address == "localhost";
}

absl::StatusOr<ListeningSockets> ListeningSockets::Open(const std::string& host, int32_t port) {
  const std::string wanted = WithoutBrackets(host);
  const bool every = wanted == "0.0.0.0" || wanted == "::";
  ListeningSockets sockets;
  sockets.port_ = port;
  int error = EADDRNOTAVAIL;
  // Without IPv6 on this machine, every address is every one of IPv4.
  for (const std::string& name :
       every ? std::vector<std::string>{"::", "0.0.0.0"} : std::vector<std::string>{wanted}) {
    absl::StatusOr<Addresses> addresses = Resolve(name, port);
    if (!addresses.ok()) return addresses.status();
    for (addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) {
      SetPort(address->ai_addr, sockets.port_);
      Descriptor socket = ListenOn(*address, every, error);
      if (!socket.open() && error == EADDRINUSE) return absl::UnavailableError(strerror(error));
      if (!socket.open()) continue;
      sockets.port_ = PortOf(socket.number());
      sockets.sockets_.push_back(std::move(socket));
    }
    if (!sockets.sockets_.empty()) return sockets;
  }
  return absl::UnavailableError(strerror(error));
}

}  // namespace hocket
