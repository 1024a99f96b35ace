#include "service/authorizer.h"

#include "service/field_checks.h"

namespace hocket {

absl::StatusOr<Caller> OpenAuthorizer::Authorize(const grpc::CallbackServerContext& context,
                                                 Scope scope) const {
  Caller caller;
  caller.may_admin = may_admin_;
  const auto found = context.client_metadata().find("hocket-tenant");
  if (found != context.client_metadata().end()) {
    caller.tenant.assign(found->second.data(), found->second.size());
  }
  if (const absl::Status status = CheckTenant(caller.tenant); !status.ok()) return status;
  if (!caller.May(scope)) {
    return ReasonError(ErrorReason::kScopeMissing,
                       "only for operators: serve with --api-keys to name them");
  }
  return caller;
}

}  // namespace hocket
