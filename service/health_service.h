// grpc.health.v1.Health: tells clients, load balancers and probes which services take calls.
// HealthWatch says so, this answers. In place of gRPC's own, whose calls nobody can end while their
// message has not come. Any thread; its calls run on gRPC's.
#ifndef HOCKET_SERVICE_HEALTH_SERVICE_H_
#define HOCKET_SERVICE_HEALTH_SERVICE_H_

#include <map>
#include <mutex>
#include <set>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"
#include "service/left_calls.h"
#include "service/receive_watch.h"

namespace hocket {

class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;

  // Both outlive all calls.
  HealthService(ReceiveWatch* receives, LeftCalls* left_calls);

  void SetServing(const std::string& service, bool serving);

 private:
  class Watcher;

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override;

  // With mutex_ held. SERVICE_UNKNOWN for what nobody has set.
  Status StatusOf(const std::string& service) const;

  std::mutex mutex_;
  // Guarded by mutex_:
  std::map<std::string, Status> statuses_;
  std::map<std::string, std::set<Watcher*>> watchers_;  // By service; none for whom nobody watches.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_HEALTH_SERVICE_H_
