#include "service/authorizer.h"

#include "absl/strings/str_cat.h"
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
  if (caller.tenant.size() > kMaxTenantBytes) {
    return FieldError(
        "metadata hocket-tenant",
        absl::StrCat(caller.tenant.size(), " bytes are more than the limit of ", kMaxTenantBytes));
  }
  if (!caller.May(scope)) {
    return absl::PermissionDeniedError("only for operators: serve with --api-keys to name them");
  }
  return caller;
}

}  // namespace hocket
