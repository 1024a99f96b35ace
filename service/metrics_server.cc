#include "service/metrics_server.h"

#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <semaphore>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "service/steady_clock.h"

namespace hocket {
namespace {

constexpr size_t kThreads = 32;
constexpr size_t kMaxWaitingConnections = 64;  // For a thread; others wait in the kernel's backlog.
// From when it has a thread: for the request's first byte, from there for the rest of it, and from
// then on for the whole answer.
constexpr absl::Duration kSilence = absl::Seconds(1);
constexpr absl::Duration kRequestTime = absl::Seconds(2);
constexpr absl::Duration kAnswerTime = absl::Seconds(5);
constexpr size_t kMaxBodyBytes = 4096;  // Nobody has reason to send one.

constexpr char kText[] = "text/plain; charset=utf-8";
constexpr char kIndex[] =
    "/metrics  for Prometheus\n/healthz  200 while it lives\n/readyz   200 while it is ready\n";

// The library's pool takes whatever comes; this one lets the accepting thread wait.
class BoundedPool final : public httplib::TaskQueue {
 public:
  void enqueue(std::function<void()> task) override {
    places_.acquire();
    pool_.enqueue([this, task = std::move(task)] {
      task();
      places_.release();
    });
  }
  void shutdown() override { pool_.shutdown(); }

 private:
  std::counting_semaphore<> places_{kThreads + kMaxWaitingConnections};
  httplib::ThreadPool pool_{kThreads};
};

// The library bounds each read and write, of which a client can ask for any number; this bounds
// their sum.
class TimedStream final : public httplib::Stream {
 public:
  explicit TimedStream(int socket) : socket_(socket) {}

  bool is_readable() const override { return begin_ < end_ || Wait(POLLIN); }
  bool is_writable() const override { return Wait(POLLOUT); }

  ssize_t read(char* to, size_t size) override {
    if (begin_ == end_) {
      const ssize_t got = WhenReady(
          POLLIN, [this] { return recv(socket_, buffer_, sizeof(buffer_), MSG_DONTWAIT); });
      if (got <= 0) return got;
      if (!std::exchange(begun_, true)) deadline_ = SteadyNow() + kRequestTime;
      begin_ = 0;
      end_ = static_cast<size_t>(got);
    }
    const size_t taken = std::min(size, end_ - begin_);
    std::memcpy(to, buffer_ + begin_, taken);
    begin_ += taken;
    return static_cast<ssize_t>(taken);
  }

  ssize_t write(const char* from, size_t size) override {
    if (!std::exchange(answers_, true)) deadline_ = SteadyNow() + kAnswerTime;
    return WhenReady(POLLOUT, [this, from, size] {
      return send(socket_, from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    });
  }

  void get_remote_ip_and_port(std::string&, int&) const override {}  // Nobody asks.
  void get_local_ip_and_port(std::string&, int&) const override {}
  int socket() const override { return socket_; }

 private:
  bool Wait(int16_t event) const {
    while (true) {
      const absl::Duration left = deadline_ - SteadyNow();
      if (left <= absl::ZeroDuration()) return false;
      pollfd ready = {.fd = socket_, .events = event, .revents = 0};
      const int count = poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
      if (count > 0) return true;
      if (count < 0 && errno != EINTR) return false;
    }
  }

  template <typename Transfer>
  ssize_t WhenReady(int16_t event, const Transfer& transfer) const {
    while (Wait(event)) {
      const ssize_t moved = transfer();
      if (moved >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) return moved;
    }
    return -1;
  }

  const int socket_;
  absl::Time deadline_ = SteadyNow() + kSilence;
  bool begun_ = false;
  bool answers_ = false;
  char buffer_[4096];
  size_t begin_ = 0;  // What of the buffer has not been read yet.
  size_t end_ = 0;
};

// A connection occupies a thread while it is open, so it ends after one page: else a few scrapers
// that keep theirs would make the probes wait.
class TimedHttpServer final : public httplib::Server {
 private:
  bool process_and_close_socket(int socket) override {
    bool closed = false;
    TimedStream stream(socket);
    const bool answered =
        process_request(stream, /*close_connection=*/true, closed, /*setup_request=*/nullptr);
    shutdown(socket, SHUT_RDWR);
    close(socket);
    return answered;
  }
};

class HttplibServer final : public MetricsServer {
 public:
  explicit HttplibServer(PageSources sources) : sources_(std::move(sources)) {
    server_.new_task_queue = [] { return new BoundedPool(); };
    server_.set_payload_max_length(kMaxBodyBytes);
    // The library's default shares a port between processes, and then a port taken is not seen.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(sources_.metrics(), "text/plain; version=0.0.4; charset=utf-8");
    });
    server_.Get("/", [](const httplib::Request&, httplib::Response& response) {
      response.set_content(kIndex, kText);
    });
    AddProbe("/healthz", sources_.healthy);
    AddProbe("/readyz", sources_.ready);
    RefuseTheRest();
  }

  ~HttplibServer() override {
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen(const std::string& host, int32_t port) {
    port_ = port == 0 ? server_.bind_to_any_port(host.c_str())
                      : (server_.bind_to_port(host.c_str(), port) ? port : -1);
    if (port_ <= 0) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", host, ":", port,
                                                 " for metrics: is the port taken? Choose another "
                                                 "with --metrics-listen, or off"));
    }
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    // stop() does nothing before the loop runs.
    while (!server_.is_running()) std::this_thread::yield();
    return absl::OkStatus();
  }

  int32_t port() const override { return port_; }

 private:
  void AddProbe(const char* path, const std::function<absl::Status()>& source) {
    server_.Get(path, [&source](const httplib::Request&, httplib::Response& response) {
      const absl::Status status = source();
      response.status = status.ok() ? 200 : 503;
      response.set_content(status.ok() ? "ok\n" : absl::StrCat(status.message(), "\n"), kText);
    });
  }

  // GET and HEAD are all that the pages know.
  void RefuseTheRest() {
    using Handled = httplib::Server::HandlerResponse;
    server_.set_pre_routing_handler(
        [](const httplib::Request& request, httplib::Response& response) {
          if (request.method == "GET" || request.method == "HEAD") return Handled::Unhandled;
          response.status = 405;
          response.set_header("Allow", "GET, HEAD");
          response.set_content("only GET and HEAD\n", kText);
          return Handled::Handled;
        });
    server_.set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (response.status == 404) {
        response.set_content(absl::StrCat("there is no such page\n", kIndex), kText);
      }
    });
  }

  const PageSources sources_;
  TimedHttpServer server_;
  int32_t port_ = -1;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& host,
                                                                    int32_t port,
                                                                    PageSources sources) {
  auto server = std::make_unique<HttplibServer>(std::move(sources));
  absl::Status status = server->Listen(host, port);
  if (!status.ok()) return status;
  return server;
}

}  // namespace hocket
