#include "scheduler/admission_gate.h"

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "scheduler/invariant.h"

namespace hocket {
namespace {

constexpr char kRefusalUrl[] = "hocket/refusal";

absl::Status Refused(Refusal refusal, const std::string& message) {
  absl::Status status = absl::ResourceExhaustedError(message);
  status.SetPayload(kRefusalUrl, absl::Cord(std::string(RefusalName(refusal))));
  return status;
}

}  // namespace

absl::Status AdmissionLimits::Validate() const {
  const std::pair<const char*, int64_t> fields[] = {
      {"max_waiting_requests", max_waiting_requests},
      {"max_waiting_tokens", max_waiting_tokens},
      {"max_tenant_waiting_requests", max_tenant_waiting_requests},
      {"max_tenant_waiting_tokens", max_tenant_waiting_tokens},
      {"max_tenant_requests", max_tenant_requests}};
  for (const auto& [name, value] : fields) {
    if (value < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " is ", value, "; it must be at least 1"));
    }
  }
  return absl::OkStatus();
}

std::string_view RefusalName(Refusal refusal) {
  switch (refusal) {
    case Refusal::kWaitingRequests:
      return "waiting_requests";
    case Refusal::kWaitingTokens:
      return "waiting_tokens";
    case Refusal::kTenantWaitingRequests:
      return "tenant_waiting_requests";
    case Refusal::kTenantWaitingTokens:
      return "tenant_waiting_tokens";
    case Refusal::kTenantRequests:
      return "tenant_requests";
  }
  return "unknown";
}

std::optional<Refusal> RefusalOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kRefusalUrl);
  if (!payload.has_value()) return std::nullopt;
  for (const Refusal refusal : kRefusals) {
    if (*payload == std::string(RefusalName(refusal))) return refusal;
  }
  return std::nullopt;
}

absl::Status AdmissionGate::CheckTenant(const std::string& tenant, int64_t prompt_tokens,
                                        const TenantLimits& own) const {
  const auto found = tenants_.find(tenant);
  const Tenant known = found == tenants_.end() ? Tenant() : found->second;
  const int32_t max_requests = own.max_requests.value_or(limits_.max_tenant_requests);
  if (known.requests >= max_requests) {
    return Refused(Refusal::kTenantRequests,
                   absl::StrCat("the tenant has ", known.requests,
                                " requests waiting and running, and the limit is ", max_requests));
  }
  const int32_t max_waiting =
      own.max_waiting_requests.value_or(limits_.max_tenant_waiting_requests);
  if (known.waiting_requests >= max_waiting) {
    return Refused(
        Refusal::kTenantWaitingRequests,
        absl::StrCat(known.waiting_requests,
                     " requests of the tenant are waiting, and the limit is ", max_waiting));
  }
  const int64_t max_tokens = own.max_waiting_tokens.value_or(limits_.max_tenant_waiting_tokens);
  if (known.waiting_tokens > 0 && known.waiting_tokens + prompt_tokens > max_tokens) {
    return Refused(
        Refusal::kTenantWaitingTokens,
        absl::StrCat(known.waiting_tokens, " prompt tokens of the tenant are waiting, and with ",
                     prompt_tokens, " more the limit of ", max_tokens, " would be passed"));
  }
  return absl::OkStatus();
}

absl::Status AdmissionGate::Enter(const std::string& tenant, int64_t prompt_tokens,
                                  const TenantLimits& own) {
  if (waiting_requests_ >= limits_.max_waiting_requests) {
    return Refused(Refusal::kWaitingRequests,
                   absl::StrCat(waiting_requests_, " requests are waiting, and the limit is ",
                                limits_.max_waiting_requests));
  }
  // A prompt of any size may wait alone.
  if (waiting_tokens_ > 0 && waiting_tokens_ + prompt_tokens > limits_.max_waiting_tokens) {
    return Refused(
        Refusal::kWaitingTokens,
        absl::StrCat(waiting_tokens_, " prompt tokens are waiting, and with ", prompt_tokens,
                     " more the limit of ", limits_.max_waiting_tokens, " would be passed"));
  }
  if (absl::Status tenants = CheckTenant(tenant, prompt_tokens, own); !tenants.ok()) return tenants;
  Tenant& entered = tenants_[tenant];
  ++entered.requests;
  ++entered.waiting_requests;
  entered.waiting_tokens += prompt_tokens;
  ++waiting_requests_;
  waiting_tokens_ += prompt_tokens;
  return absl::OkStatus();
}

void AdmissionGate::Start(const std::string& tenant, int64_t prompt_tokens) {
  Tenant& known = tenants_.at(tenant);
  --known.waiting_requests;
  known.waiting_tokens -= prompt_tokens;
  --waiting_requests_;
  waiting_tokens_ -= prompt_tokens;
  Invariant(known.waiting_requests >= 0 && known.waiting_tokens >= 0, "who starts was waiting");
}

void AdmissionGate::Leave(const std::string& tenant, int64_t prompt_tokens, bool started) {
  if (!started) Start(tenant, prompt_tokens);
  const auto found = tenants_.find(tenant);
  if (--found->second.requests == 0) tenants_.erase(found);
}

}  // namespace hocket
