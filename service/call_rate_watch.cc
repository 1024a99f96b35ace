#include "service/call_rate_watch.h"

#include <arpa/inet.h>
#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace hocket {
namespace {

using Json = nlohmann::json;

// A call that is opened and reset at once takes more than 22 bytes of frames.
constexpr double kMinCallBytes = 22;
// Of connections that send much, so many are looked at more closely, those that send most.
constexpr size_t kMaxSuspects = 64;
// Who has sent much is looked at for so long: gRPC may have megabytes of it still before it.
constexpr absl::Duration kSuspicion = absl::Seconds(5);
// Between two readings of a connection that may only reset too many calls. Most clients send enough
// for that.
constexpr absl::Duration kResetPeriod = absl::Seconds(1);
constexpr double kResetBurstSeconds = 10;

// What gRPC's C interface gives, parsed; discarded when there is none.
Json Parsed(char* text) {
  if (text == nullptr) return Json(Json::value_t::discarded);
  const std::unique_ptr<char, decltype(&gpr_free)> owned(text, &gpr_free);
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

// The number that gRPC writes as text, or 0.
int64_t NumberAt(const Json& object, const char* name) {
  int64_t number = 0;
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return 0;
  return absl::SimpleAtoi(found->get_ref<const std::string&>(), &number) ? number : 0;
}

uint64_t ReceivedBytes(int descriptor) {
  tcp_info info = {};
  socklen_t size = sizeof(info);
  if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

// The socket ids of all connections of all servers in this process, by their peers' names.
std::unordered_map<std::string, int64_t> SocketIds() {
  std::unordered_map<std::string, int64_t> ids;
  const Json servers = Parsed(grpc_channelz_get_servers(0));
  if (!servers.is_object() || !servers.contains("server")) return ids;
  for (const Json& server : servers.at("server")) {
    const int64_t server_id = NumberAt(server.value("ref", Json::object()), "serverId");
    int64_t next = 0;
    while (true) {
      const Json page = Parsed(grpc_channelz_get_server_sockets(server_id, next, 0));
      if (!page.is_object()) break;
      for (const Json& socket : page.value("socketRef", Json::array())) {
        const std::string name = socket.value("name", "");
        const int64_t id = NumberAt(socket, "socketId");
        ids[name.substr(name.rfind(' ') + 1)] = id;
        next = id + 1;
      }
      if (page.value("end", false) || !page.contains("socketRef")) break;
    }
  }
  return ids;
}

}  // namespace

std::string PeerName(int descriptor) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    return absl::StrCat("ipv4:", text, ":", ntohs(v4.sin_port));
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    inet_ntop(AF_INET, v6.sin6_addr.s6_addr + 12, text, sizeof(text));
    return absl::StrCat("ipv4:", text, ":", ntohs(v6.sin6_port));
  }
  inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
  return absl::StrCat("ipv6:%5B", text, "%5D:", ntohs(v6.sin6_port));
}

void CallRateWatch::Meter::Surplus::Add(int64_t total_now, double allowed) {
  const auto fresh = static_cast<double>(total_now - std::exchange(total, total_now));
  more = std::max(0.0, more + fresh - allowed);
}

std::vector<CallRateWatch::Offender> CallRateWatch::Look(const std::vector<Connection>& connections,
                                                         absl::Time now) {
  const double seconds = std::max(absl::ToDoubleSeconds(now - last_look_), 1e-3);
  last_look_ = now;
  std::vector<std::pair<uint64_t, Connection>> suspects;
  for (const Connection& connection : connections) {
    const uint64_t bytes = ReceivedBytes(connection.descriptor);
    const uint64_t fresh = bytes - std::exchange(connection.meter->bytes_, bytes);
    if (IsDue(*connection.meter, fresh, seconds, now)) suspects.emplace_back(fresh, connection);
  }
  if (suspects.size() > kMaxSuspects) {
    std::nth_element(suspects.begin(), suspects.begin() + kMaxSuspects, suspects.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    suspects.resize(kMaxSuspects);
  }
  std::vector<Offender> found;
  for (const auto& [bytes, connection] : suspects) {
    const Excess excess = Judge(*connection.meter, now);
    if (excess != Excess::kNone) found.push_back({connection.descriptor, excess});
  }
  socket_ids_.clear();
  return found;
}

bool CallRateWatch::IsDue(Meter& meter, uint64_t fresh, double seconds, absl::Time now) const {
  const double calls = static_cast<double>(fresh) / kMinCallBytes / seconds;  // At most, a second.
  if (calls > limits_.max_calls_per_second) meter.may_open_too_many_until_ = now + kSuspicion;
  if (calls > limits_.max_resets_per_second) meter.may_reset_too_many_until_ = now + kSuspicion;
  return now < meter.may_open_too_many_until_ ||
         (now < meter.may_reset_too_many_until_ && now - meter.read_at_ >= kResetPeriod);
}

CallRateWatch::Excess CallRateWatch::Judge(Meter& meter, absl::Time now) {
  if (!meter.socket_id_) meter.socket_id_ = SocketIdOf(meter.peer());
  if (!meter.socket_id_) return Excess::kNone;  // Still in its handshake.
  const Json socket = Parsed(grpc_channelz_get_socket(*meter.socket_id_));
  if (!socket.is_object() || !socket.contains("socket")) return Excess::kNone;
  const Json data = socket.at("socket").value("data", Json::object());
  const double seconds = absl::ToDoubleSeconds(now - std::exchange(meter.read_at_, now));
  meter.calls_.Add(NumberAt(data, "streamsStarted"), limits_.max_calls_per_second * seconds);
  meter.resets_.Add(NumberAt(data, "streamsFailed") - left_.Of(meter.peer()),
                    limits_.max_resets_per_second * seconds);
  if (meter.calls_.more > limits_.max_calls_per_second) return Excess::kCalls;
  const double burst = kResetBurstSeconds * limits_.max_resets_per_second;
  return meter.resets_.more > burst ? Excess::kResets : Excess::kNone;
}

std::optional<int64_t> CallRateWatch::SocketIdOf(const std::string& peer) {
  if (socket_ids_.empty()) socket_ids_ = SocketIds();
  const auto found = socket_ids_.find(peer);
  if (found == socket_ids_.end()) return std::nullopt;
  return found->second;
}

}  // namespace hocket
