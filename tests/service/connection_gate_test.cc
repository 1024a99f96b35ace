// Real connections through the gate to a real gRPC server, which serves nothing.
#include "service/connection_gate.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "service/descriptor.h"
#include "service/tls_credentials.h"
#include "test_certificates.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;

// A connection that sends nothing.
class RawClient {
 public:
  explicit RawClient(int32_t port, const char* own_address = "127.0.0.1")
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience = {.tv_sec = 5, .tv_usec = 0};
    setsockopt(socket_.number(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(socket_.number(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, own_address, &address.sin_addr);
    bind(socket_.number(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    address.sin_port = htons(static_cast<uint16_t>(port));
    connected_ =
        connect(socket_.number(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }

  bool connected() const { return connected_; }
  // gRPC sends its settings at once to whom it serves in plaintext.
  bool IsServed() const {
    char byte = 0;
    return connected_ && recv(socket_.number(), &byte, 1, MSG_PEEK) == 1;
  }
  int number() const { return socket_.number(); }

 private:
  Descriptor socket_;
  bool connected_ = false;
};

class ConnectionGateTest : public testing::Test {
 protected:
  void Start(const ConnectionLimits& limits, const std::shared_ptr<TlsCredentials>& tls = nullptr,
             const std::string& host = "127.0.0.1") {
    absl::StatusOr<std::unique_ptr<ConnectionGate>> gate = ConnectionGate::Open(host, 0, limits);
    ASSERT_TRUE(gate.ok()) << gate.status();
    gate_ = *std::move(gate);
    grpc::ServerBuilder builder;
    gate_->Register(builder, [&tls] {
      return tls == nullptr ? grpc::InsecureServerCredentials() : tls->ForPort();
    });
    builder.RegisterCallbackGenericService(&nothing_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    gate_->Start();
  }

  void TearDown() override {
    if (gate_ != nullptr) gate_->StopAccepting();
    if (server_ != nullptr) server_->Shutdown(absl::ToChronoTime(absl::Now()));
    server_.reset();
    gate_.reset();
  }

  bool OpenSoon(int32_t wanted) {
    for (int i = 0; i < 1000 && gate_->open_connections() != wanted; ++i) {
      absl::SleepFor(absl::Milliseconds(5));
    }
    return gate_->open_connections() == wanted;
  }

  bool Connects(const std::string& address, std::shared_ptr<grpc::ChannelCredentials> credentials,
                absl::Duration patience = absl::Seconds(5)) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto channel = grpc::CreateCustomChannel(address, credentials, arguments);
    return channel->WaitForConnected(absl::ToChronoTime(absl::Now() + patience));
  }

  std::unique_ptr<ConnectionGate> gate_;
  grpc::CallbackGenericService nothing_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(ConnectionGateTest, TakesAsManyConnectionsAsMayBeAndClosesTheOthersAtOnce) {
  Start({.max_connections = 2});
  auto first = std::make_unique<RawClient>(gate_->port());
  const RawClient second(gate_->port());
  EXPECT_TRUE(first->IsServed());
  EXPECT_TRUE(second.IsServed());
  EXPECT_EQ(gate_->open_connections(), 2);
  EXPECT_FALSE(RawClient(gate_->port()).IsServed());
  EXPECT_EQ(gate_->refused_connections(), 1);
  EXPECT_EQ(gate_->open_connections(), 2);
  first.reset();
  EXPECT_TRUE(OpenSoon(1));
  EXPECT_TRUE(RawClient(gate_->port()).IsServed());
  EXPECT_TRUE(second.IsServed());
}

TEST_F(ConnectionGateTest, OneAddressCannotTakeAllConnections) {
  Start({.max_connections = 8, .max_connections_per_address = 1});
  const RawClient greedy(gate_->port(), "127.0.0.2");
  EXPECT_TRUE(greedy.IsServed());
  EXPECT_FALSE(RawClient(gate_->port(), "127.0.0.2").IsServed());
  EXPECT_TRUE(RawClient(gate_->port(), "127.0.0.3").IsServed());
}

TEST_F(ConnectionGateTest, AConnectionThatTheServerClosesCountsNoLonger) {
  Start({.max_connections = 2});
  const RawClient nonsense(gate_->port());
  ASSERT_TRUE(nonsense.IsServed());
  ASSERT_EQ(send(nonsense.number(), "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
  EXPECT_TRUE(OpenSoon(0));
}

// A frame of HTTP/2.
std::string Frame(char kind, char flags, uint32_t stream, const std::string& payload) {
  std::string frame = {0, 0, static_cast<char>(payload.size()), kind, flags};
  for (const int shift : {24, 16, 8, 0}) frame.push_back(static_cast<char>(stream >> shift));
  return frame + payload;
}

// Opens a call and takes it back at once.
std::string OpenedAndReset(uint32_t stream) {
  constexpr char kHeaders = 1, kEndHeaders = 4, kReset = 3;
  // POST, http, path /a/b (a literal), from the static table where it has them.
  const std::string headers = std::string("\x83\x86\x04\x04/a/b\x0f\x10\x10", 11) +
                              "application/grpc" + std::string("\x41\x01x", 3);
  return Frame(kHeaders, kEndHeaders, stream, headers) +
         Frame(kReset, 0, stream, std::string("\0\0\0\x08", 4));
}

bool SendAll(int socket, const std::string& data) {
  return send(socket, data.data(), data.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(data.size());
}

// Sends `calls` each time, until the server has enough of it or ten seconds are over.
bool IsEndedFor(const RawClient& client, int calls, absl::Duration pause) {
  SendAll(client.number(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(4, 0, 0, ""));
  const absl::Time end = absl::Now() + absl::Seconds(10);
  uint32_t stream = 1;
  while (absl::Now() < end) {
    std::string data;
    for (int i = 0; i < calls; ++i, stream += 2) data += OpenedAndReset(stream);
    if (!SendAll(client.number(), data)) return true;
    absl::SleepFor(pause);
    if (stream > 800 && pause > absl::ZeroDuration()) return false;
  }
  return false;
}

TEST_F(ConnectionGateTest, AConnectionThatOpensCallsWithoutEndIsEnded) {
  ConnectionLimits limits;
  limits.calls.max_calls_per_second = 500;
  Start(limits);
  const RawClient neighbour(gate_->port());
  ASSERT_TRUE(neighbour.IsServed());
  const RawClient busy(gate_->port());
  EXPECT_FALSE(IsEndedFor(busy, 10, absl::Milliseconds(50))) << "200 calls a second are fine";
  EXPECT_TRUE(IsEndedFor(RawClient(gate_->port()), 50, absl::ZeroDuration()));
  for (int i = 0; i < 1000 && gate_->ended_connections(CallRateWatch::Excess::kCalls) == 0; ++i) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_EQ(gate_->ended_connections(CallRateWatch::Excess::kCalls), 1);
  EXPECT_TRUE(OpenSoon(2));
}

TEST_F(ConnectionGateTest, AfterManyConnectionsNoDescriptorIsLeft) {
  Start({});
  const auto count = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  };
  ASSERT_TRUE(RawClient(gate_->port()).IsServed());
  ASSERT_TRUE(OpenSoon(0));
  const auto before = count();
  for (int round = 0; round < 5; ++round) {
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < 100; ++i) clients.push_back(std::make_unique<RawClient>(gate_->port()));
    for (const auto& client : clients) ASSERT_TRUE(client->IsServed());
    EXPECT_TRUE(OpenSoon(100)) << gate_->open_connections() << " in round " << round;
    clients.clear();
    ASSERT_TRUE(OpenSoon(0));
  }
  for (int i = 0; i < 200 && count() > before; ++i) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_LE(count(), before);
}

TEST_F(ConnectionGateTest, AStoppedGateTakesNobodyAndKeepsWhoIsIn) {
  Start({});
  const RawClient early(gate_->port());
  ASSERT_TRUE(early.IsServed());
  gate_->StopAccepting();
  EXPECT_FALSE(RawClient(gate_->port()).connected());
  EXPECT_TRUE(early.IsServed());
  EXPECT_EQ(gate_->open_connections(), 1);
}

TEST_F(ConnectionGateTest, ATakenPortIsAnError) {
  Start({});
  const auto second = ConnectionGate::Open("127.0.0.1", gate_->port(), {});
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("Address already in use"));
  EXPECT_TRUE(absl::IsUnavailable(ConnectionGate::Open("0.0.0.0", gate_->port(), {}).status()));
}

TEST_F(ConnectionGateTest, EveryAddressMeansBothFamilies) {
  Start({}, nullptr, "0.0.0.0");
  const std::string port = std::to_string(gate_->port());
  EXPECT_TRUE(Connects("127.0.0.1:" + port, grpc::InsecureChannelCredentials()));
  if (!std::filesystem::exists("/proc/net/if_inet6")) GTEST_SKIP() << "this machine has no IPv6";
  EXPECT_TRUE(Connects("[::1]:" + port, grpc::InsecureChannelCredentials()));
}

// The common name in the certificate that a new connection is shown.
std::string NameShownBy(int32_t port) {
  const RawClient client(port);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL* tls = SSL_new(context);
  SSL_set_fd(tls, client.number());
  const unsigned char http2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(tls, http2, sizeof(http2));
  char name[64] = "no handshake";
  if (SSL_connect(tls) == 1) {
    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(tls)), NID_commonName,
                              name, sizeof(name));
  }
  SSL_free(tls);
  SSL_CTX_free(context);
  return name;
}

TlsIdentity IdentityOf(const std::string& name) {
  const TestCertificate made =
      MakeTestCertificate(name, absl::Now() - absl::Hours(1), absl::Now() + absl::Hours(1));
  TlsIdentity identity;
  identity.certificate_pem = made.certificate_pem;
  identity.key_pem = made.key_pem;
  return identity;
}

TEST_F(ConnectionGateTest, NewConnectionsAreShownTheNewCertificate) {
  const std::shared_ptr<TlsCredentials> tls = TlsCredentials::Make(IdentityOf("one"));
  Start({}, tls);
  EXPECT_EQ(NameShownBy(gate_->port()), "one");
  tls->Replace(IdentityOf("two"));
  EXPECT_EQ(NameShownBy(gate_->port()), "two");
  EXPECT_EQ(NameShownBy(gate_->port()), "two");
  tls->Replace(IdentityOf("three"));
  EXPECT_EQ(NameShownBy(gate_->port()), "three");
  EXPECT_TRUE(OpenSoon(0));
}

TEST_F(ConnectionGateTest, ClientsWithoutACertificateAreTurnedAwayWhereOneIsWanted) {
  TlsIdentity identity = IdentityOf("server");
  const TlsIdentity client = IdentityOf("client");
  identity.client_ca_pem = client.certificate_pem;
  const std::shared_ptr<TlsCredentials> tls = TlsCredentials::Make(identity);
  Start({}, tls);
  const std::string address = "localhost:" + std::to_string(gate_->port());
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = identity.certificate_pem;
  EXPECT_FALSE(Connects(address, grpc::SslCredentials(options), absl::Seconds(1)));
  options.pem_private_key = client.key_pem;
  options.pem_cert_chain = client.certificate_pem;
  EXPECT_TRUE(Connects(address, grpc::SslCredentials(options)));
}

}  // namespace
}  // namespace hocket
