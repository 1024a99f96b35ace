// Counts who is held, and says at once why another request is not taken: the limits on the waiting
// line and on each tenant. Owned by the engine and used under its lock, on any thread; no clock.
#ifndef HOCKET_SCHEDULER_ADMISSION_GATE_H_
#define HOCKET_SCHEDULER_ADMISSION_GATE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/status.h"

namespace hocket {

struct AdmissionLimits {
  int32_t max_waiting_requests = 1024;   // Requests that never ran yet.
  int64_t max_waiting_tokens = 1 << 22;  // Of their prompts.
  int32_t max_tenant_waiting_requests = 1024;
  int64_t max_tenant_waiting_tokens = 1 << 22;
  int32_t max_tenant_requests = 1 << 20;  // Waiting and running.

  absl::Status Validate() const;
};

// One tenant's own limits, in the place of AdmissionLimits' where they are set.
struct TenantLimits {
  std::optional<int32_t> max_requests;
  std::optional<int32_t> max_waiting_requests;
  std::optional<int64_t> max_waiting_tokens;
  bool operator==(const TenantLimits&) const = default;
};

// Which limit a refused request met.
enum class Refusal {
  kWaitingRequests,
  kWaitingTokens,
  kTenantWaitingRequests,
  kTenantWaitingTokens,
  kTenantRequests,
};

inline constexpr std::array<Refusal, 5> kRefusals = {
    Refusal::kWaitingRequests, Refusal::kWaitingTokens, Refusal::kTenantWaitingRequests,
    Refusal::kTenantWaitingTokens, Refusal::kTenantRequests};

std::string_view RefusalName(Refusal refusal);  // "waiting_requests", "tenant_waiting_tokens", ...

// Of a status that AdmissionGate::Enter gave; none for any other.
std::optional<Refusal> RefusalOf(const absl::Status& status);

class AdmissionGate {
 public:
  explicit AdmissionGate(const AdmissionLimits& limits) : limits_(limits) {}

  void set_limits(const AdmissionLimits& limits) { limits_ = limits; }  // For those who come.

  // Takes a request into the line, or RESOURCE_EXHAUSTED with a Refusal and the numbers.
  absl::Status Enter(const std::string& tenant, int64_t prompt_tokens,
                     const TenantLimits& own = {});

  // It has started, and waits no longer.
  void Start(const std::string& tenant, int64_t prompt_tokens);

  // It has ended; `started`: Start was called for it.
  void Leave(const std::string& tenant, int64_t prompt_tokens, bool started);

  int32_t waiting_requests() const { return waiting_requests_; }
  int64_t waiting_tokens() const { return waiting_tokens_; }
  size_t tenants() const { return tenants_.size(); }  // That have requests.

 private:
  struct Tenant {
    int32_t waiting_requests = 0;
    int64_t waiting_tokens = 0;
    int32_t requests = 0;
  };

  absl::Status CheckTenant(const std::string& tenant, int64_t prompt_tokens,
                           const TenantLimits& own) const;

  AdmissionLimits limits_;
  std::unordered_map<std::string, Tenant> tenants_;
  int32_t waiting_requests_ = 0;
  int64_t waiting_tokens_ = 0;
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_ADMISSION_GATE_H_
