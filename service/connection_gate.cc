#include "service/connection_gate.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/time/clock.h"
#include "service/log_event.h"

namespace hocket {
namespace {

constexpr int kEventsAtATime = 128;
constexpr int kLookMs = 250;  // Between two looks at calls and memory, when nothing happens.
// Of a listener before connections that ended are counted again.
constexpr int kAcceptsAtATime = 64;
// While the process has no descriptor left.
constexpr std::chrono::milliseconds kPause(50);
constexpr int32_t kDescriptorsPerConnection = 2;
constexpr int32_t kOtherDescriptors = 512;  // Logs, weights, gRPC's own, the metrics page's.

// What an epoll event is about: the descriptor, and for listeners this bit.
constexpr uint64_t kListenerBit = uint64_t{1} << 32;

bool Watch(const Descriptor& epoll, int descriptor, uint32_t events, uint64_t about) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = about;
  return epoll_ctl(epoll.number(), EPOLL_CTL_ADD, descriptor, &event) == 0;
}

// How many connections the process may have open files for, of those wanted.
int32_t AffordableConnections(int32_t wanted) {
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return wanted;
  const rlim_t needed = rlim_t{kOtherDescriptors} + rlim_t{kDescriptorsPerConnection} * wanted;
  if (files.rlim_cur < needed) {
    files.rlim_cur = std::min(needed, files.rlim_max);
    setrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_NOFILE, &files);
  }
  if (files.rlim_cur >= needed) return wanted;
  const rlim_t left =
      files.rlim_cur > kOtherDescriptors ? files.rlim_cur - kOtherDescriptors : rlim_t{0};
  const auto affordable = static_cast<int32_t>(left / kDescriptorsPerConnection);
  return std::max(affordable, 1);
}

std::array<uint8_t, 16> PeerOf(const sockaddr_storage& address) {
  std::array<uint8_t, 16> peer = {};
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    std::memcpy(peer.data(), &v6.sin6_addr, peer.size());
  } else if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    peer[10] = peer[11] = 0xff;
    std::memcpy(peer.data() + 12, &v4.sin_addr, 4);
  }
  return peer;
}

void SetOption(int socket, int level, int option, int value) {
  setsockopt(socket, level, option, &value, sizeof(value));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConnectionGate>> ConnectionGate::Open(
    const std::string& host, int32_t port, const ConnectionLimits& limits) {
  std::unique_ptr<ConnectionGate> gate(new ConnectionGate(limits));
  if (absl::Status status = gate->Prepare(host, port); !status.ok()) return status;
  return gate;
}

absl::Status ConnectionGate::Prepare(const std::string& host, int32_t port) {
  absl::StatusOr<ListeningSockets> sockets = ListeningSockets::Open(host, port);
  if (!sockets.ok()) return sockets.status();
  sockets_ = *std::move(sockets);
  epoll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  wake_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  bool watched = epoll_.open() && wake_.open() &&
                 Watch(epoll_, wake_.number(), EPOLLIN, static_cast<uint64_t>(wake_.number()));
  for (const Descriptor& listener : sockets_.sockets()) {
    watched = watched && Watch(epoll_, listener.number(), EPOLLIN,
                               kListenerBit | static_cast<uint64_t>(listener.number()));
  }
  if (!watched) return absl::UnavailableError(strerror(errno));
  limit_ = AffordableConnections(limits_.max_connections);
  if (limit_ < limits_.max_connections) {
    spdlog::warn("connections: at most {} instead of {}, for the process may not open more files",
                 limit_, limits_.max_connections);
  }
  return absl::OkStatus();
}

ConnectionGate::~ConnectionGate() {
  closing_ = true;
  Wake();
  if (thread_.joinable()) thread_.join();
}

void ConnectionGate::Register(
    grpc::ServerBuilder& builder,
    const std::function<std::shared_ptr<grpc::ServerCredentials>()>& credentials) {
  hand_over_.Register(builder, credentials);
}

void ConnectionGate::Start() {
  hand_over_.Start();
  thread_ = std::thread([this] { Run(); });
}

void ConnectionGate::StopAccepting() {
  if (!thread_.joinable()) return;
  accepting_ = false;
  Wake();
  std::unique_lock lock(mutex_);
  stopped_accepting_.wait(lock, [this] { return has_stopped_accepting_; });
}

void ConnectionGate::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.number(), &one, sizeof(one));
}

void ConnectionGate::Run() {
  epoll_event events[kEventsAtATime];
  while (!closing_) {
    const int count = epoll_wait(epoll_.number(), events, kEventsAtATime, kLookMs);
    EndThoseWithTooManyCalls();
    trim_.Look(absl::Now());
    for (int i = 0; i < count; ++i) {
      const uint64_t about = events[i].data.u64;
      const int descriptor = static_cast<int>(about & ~kListenerBit);
      if ((about & kListenerBit) != 0) {
        AcceptFrom(descriptor);
      } else if (descriptor == wake_.number()) {
        uint64_t ignored = 0;
        [[maybe_unused]] const ssize_t got = read(descriptor, &ignored, sizeof(ignored));
      } else if ((events[i].events & EPOLLHUP) != 0) {
        Forget(descriptor);
      }
    }
    if (!accepting_ && !sockets_.sockets().empty()) CloseListeners();
  }
}

void ConnectionGate::CloseListeners() {
  sockets_.CloseAll();
  for (const int number : hand_over_.Stop()) {
    if (connections_.contains(number)) shutdown(number, SHUT_RDWR);
  }
  hand_over_.Join();
  std::lock_guard lock(mutex_);
  has_stopped_accepting_ = true;
  stopped_accepting_.notify_all();
}

void ConnectionGate::AcceptFrom(int listener) {
  for (int i = 0; i < kAcceptsAtATime && accepting_; ++i) {
    sockaddr_storage address = {};
    socklen_t size = sizeof(address);
    Descriptor socket(accept4(listener, reinterpret_cast<sockaddr*>(&address), &size,
                              SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.open()) {
      // Anything else is about one connection, which went away.
      const bool exhausted =
          errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
      if (exhausted) std::this_thread::sleep_for(kPause);
      if (exhausted || errno == EAGAIN || errno == EWOULDBLOCK) return;
      continue;
    }
    Take(std::move(socket), PeerOf(address), listener);
  }
}

void ConnectionGate::Take(Descriptor socket, const PeerAddress& peer, int listener) {
  const int32_t of_peer = limits_.max_connections_per_address;
  if (open_connections_ >= limit_) return Refuse(std::move(socket));
  if (of_peer > 0 && by_peer_.contains(peer) && by_peer_.at(peer) >= of_peer) {
    return Refuse(std::move(socket));
  }
  Descriptor watched(fcntl(socket.number(), F_DUPFD_CLOEXEC, 0));
  const int number = watched.number();
  // Nothing but the end is asked for, and that always comes; once is enough.
  if (!watched.open() || !Watch(epoll_, number, EPOLLET, static_cast<uint64_t>(number))) {
    return Refuse(std::move(socket));
  }
  SetOption(socket.number(), IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(socket.number(), IPPROTO_TCP, TCP_USER_TIMEOUT,
            static_cast<int>(absl::ToInt64Milliseconds(limits_.acknowledge)));
  const std::string name = PeerName(socket.number());
  left_calls_.Open(name);
  connections_.emplace(
      number, Connection{std::move(watched), peer, CallRateWatch::Meter(absl::Now(), name)});
  ++by_peer_[peer];
  ++open_connections_;
  hand_over_.Give(std::move(socket), listener, number);
}

void ConnectionGate::Refuse(Descriptor socket) {
  ++refused_connections_;
  // Reset rather than finished: nothing of it stays in the kernel.
  const linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(socket.number(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void ConnectionGate::EndThoseWithTooManyCalls() {
  const absl::Time now = absl::Now();
  if (now < next_look_ || connections_.empty()) return;
  next_look_ = now + CallRateWatch::kPeriod;
  std::vector<CallRateWatch::Connection> open;
  for (auto& [number, connection] : connections_) open.push_back({number, &connection.calls});
  for (const CallRateWatch::Offender& offender : call_rates_.Look(open, now)) {
    const bool resets = offender.excess == CallRateWatch::Excess::kResets;
    ++(resets ? ended_for_resets_ : ended_for_calls_);
    LogEvent("connection_ended")
        .Text("peer", connections_.at(offender.descriptor).calls.peer())
        .Text("because", resets ? "it resets calls faster than --max-connection-resets-per-second"
                                : "it opens calls faster than --max-connection-calls-per-second")
        .Write(LogEvent::Level::kWarning);
    // gRPC sees its end, and so does this thread.
    shutdown(offender.descriptor, SHUT_RDWR);
  }
}

void ConnectionGate::Forget(int watched) {
  const auto found = connections_.find(watched);
  if (found == connections_.end()) return;
  const auto peer = by_peer_.find(found->second.peer);
  if (--peer->second == 0) by_peer_.erase(peer);
  left_calls_.Close(found->second.calls.peer());
  // Closing is not enough while gRPC has the connection's other descriptor: its next event would
  // come under this number, which by then may be another connection's.
  epoll_ctl(epoll_.number(), EPOLL_CTL_DEL, watched, nullptr);
  connections_.erase(found);
  --open_connections_;
}

}  // namespace hocket
