// Who makes a call, and what it may do: decided once, when the call arrives, from its metadata and
// its connection. A plain value.
#ifndef HOCKET_SERVICE_CALLER_H_
#define HOCKET_SERVICE_CALLER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "scheduler/admission_gate.h"
#include "scheduler/request.h"

namespace hocket {

// What a method needs.
enum class Scope {
  kGenerate,  // Everything that a client of a model calls.
  kAdmin,     // Other tenants' requests.
};

struct Caller {
  std::string tenant;    // At most kMaxTenantBytes. Empty: nobody in particular.
  std::string key_name;  // Of the API key, for logs; empty without keys.
  bool may_generate = true;
  bool may_admin = false;
  double weight = 1;    // Of the tenant, above 0.
  TenantLimits limits;  // Of the tenant, where it has its own.
  // Of requests that name no class, and the highest that may be named.
  PriorityClass default_priority = PriorityClass::kStandard;
  PriorityClass highest_priority = PriorityClass::kInteractive;
  std::optional<int32_t> max_new_tokens;  // Of one request; more is refused.

  bool May(Scope scope) const { return scope == Scope::kAdmin ? may_admin : may_generate; }
};

inline constexpr size_t kMaxTenantBytes = 128;

}  // namespace hocket

#endif  // HOCKET_SERVICE_CALLER_H_
