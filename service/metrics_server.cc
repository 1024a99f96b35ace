#include "service/metrics_server.h"

#include <httplib.h>

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

constexpr size_t kThreads = 8;
// A connection occupies a thread while it is open, so it ends after one page: else a few scrapers
// that keep theirs would make the probes wait.
constexpr size_t kPagesPerConnection = 1;
constexpr int kTimeoutSeconds = 1;
constexpr size_t kMaxBodyBytes = 4096;  // Nobody has reason to send one.

class HttplibServer final : public MetricsServer {
 public:
  explicit HttplibServer(PageSources sources) : sources_(std::move(sources)) {
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    server_.set_read_timeout(kTimeoutSeconds);
    server_.set_write_timeout(kTimeoutSeconds);
    server_.set_keep_alive_timeout(kTimeoutSeconds);
    server_.set_keep_alive_max_count(kPagesPerConnection);
    server_.set_payload_max_length(kMaxBodyBytes);
    // The library's default shares a port between processes, and then a port taken is not seen.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(sources_.metrics(), "text/plain; version=0.0.4; charset=utf-8");
    });
    AddProbe("/healthz", sources_.healthy);
    AddProbe("/readyz", sources_.ready);
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
      response.set_content(status.ok() ? "ok\n" : absl::StrCat(status.message(), "\n"),
                           "text/plain");
    });
  }

  const PageSources sources_;
  httplib::Server server_;
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
