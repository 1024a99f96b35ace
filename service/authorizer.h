// Decides who makes a call. Any thread; nothing here blocks.
#ifndef HOCKET_SERVICE_AUTHORIZER_H_
#define HOCKET_SERVICE_AUTHORIZER_H_

#include <grpcpp/server_context.h>

#include "absl/status/statusor.h"
#include "service/caller.h"

namespace hocket {

class Authorizer {
 public:
  virtual ~Authorizer() = default;

  // UNAUTHENTICATED when nobody known calls, PERMISSION_DENIED when the caller lacks the scope,
  // INVALID_ARGUMENT naming the metadata that is wrong.
  virtual absl::StatusOr<Caller> Authorize(const grpc::CallbackServerContext& context,
                                           Scope scope) const = 0;
};

// Without API keys: the metadata `hocket-tenant` is believed, and everybody may do all that
// `may_admin` leaves.
class OpenAuthorizer final : public Authorizer {
 public:
  explicit OpenAuthorizer(bool may_admin) : may_admin_(may_admin) {}
  absl::StatusOr<Caller> Authorize(const grpc::CallbackServerContext& context,
                                   Scope scope) const override;

 private:
  const bool may_admin_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_AUTHORIZER_H_
