#include "service/metrics_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "service/descriptor.h"

namespace hocket {
namespace {

// More than the server has threads.
constexpr int kClients = 40;
constexpr size_t kPageBytes = 16 << 20;

Descriptor Connect(int32_t port) {
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience = {.tv_sec = 20, .tv_usec = 0};
  setsockopt(socket.number(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  address.sin_port = htons(static_cast<uint16_t>(port));
  connect(socket.number(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  return socket;
}

bool Send(const Descriptor& socket, const std::string& text) {
  return send(socket.number(), text.data(), text.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(text.size());
}

// All that comes until the server closes the connection.
std::string Receive(const Descriptor& socket) {
  std::string all;
  char buffer[65536];
  ssize_t got = 0;
  while ((got = recv(socket.number(), buffer, sizeof(buffer), 0)) > 0) {
    all.append(buffer, static_cast<size_t>(got));
  }
  return all;
}

class MetricsServerTest : public testing::Test {
 protected:
  void SetUp() override {
    PageSources sources;
    sources.metrics = [] { return std::string(kPageBytes, 'x'); };
    sources.healthy = sources.ready = [] { return absl::OkStatus(); };
    auto server = MetricsServer::Start("127.0.0.1", 0, std::move(sources));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // How long a probe takes.
  absl::Duration Probe() {
    const absl::Time begin = absl::Now();
    const Descriptor socket = Connect(server_->port());
    EXPECT_TRUE(Send(socket, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT_NE(Receive(socket).find("200 OK"), std::string::npos);
    return absl::Now() - begin;
  }

  std::unique_ptr<MetricsServer> server_;
};

TEST_F(MetricsServerTest, ARequestThatComesByteByByteHoldsNoThreadForLong) {
  std::vector<std::thread> clients;
  std::atomic<int> begun = 0;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([this, &begun] {
      const Descriptor socket = Connect(server_->port());
      const absl::Time end = absl::Now() + absl::Seconds(15);
      Send(socket, "GET /healthz HTTP/1.1\r\nX: ");
      ++begun;
      // Each byte is well within any time that a single read may take.
      while (absl::Now() < end && Send(socket, "x")) absl::SleepFor(absl::Milliseconds(50));
      EXPECT_LT(absl::Now(), end) << "the server still waits";
    });
  }
  while (begun < kClients) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_LT(Probe(), absl::Seconds(8));  // Two times the time of a request, and some.
  for (std::thread& client : clients) client.join();
  EXPECT_LT(Probe(), absl::Seconds(1));
}

TEST_F(MetricsServerTest, ConnectionsThatStaySilentDelayAProbeLittle) {
  std::vector<Descriptor> clients;
  for (int i = 0; i < 2 * kClients; ++i) clients.push_back(Connect(server_->port()));
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_LT(Probe(), absl::Seconds(4));  // Three times a silence, and some.
}

TEST_F(MetricsServerTest, APageThatIsNotTakenHoldsNoThreadForLong) {
  std::vector<Descriptor> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(Connect(server_->port()));
    ASSERT_TRUE(Send(clients.back(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"));
  }
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_LT(Probe(), absl::Seconds(10));
}

TEST_F(MetricsServerTest, ALargePageComesWholeAndARequestMayComeInPieces) {
  const Descriptor socket = Connect(server_->port());
  for (const std::string piece : {"GE", "T /metrics HT", "TP/1.1\r\nHost: ", "x\r\n\r", "\n"}) {
    ASSERT_TRUE(Send(socket, piece));
    absl::SleepFor(absl::Milliseconds(30));
  }
  const std::string answer = Receive(socket);
  EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, kPageBytes);
}

}  // namespace
}  // namespace hocket
