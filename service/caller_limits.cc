#include "service/caller_limits.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/error_reasons.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

absl::string_view NameOf(PriorityClass priority) {
  switch (priority) {
    case PriorityClass::kInteractive:
      return "PRIORITY_CLASS_INTERACTIVE";
    case PriorityClass::kStandard:
      return "PRIORITY_CLASS_STANDARD";
    case PriorityClass::kBatch:
      return "PRIORITY_CLASS_BATCH";
  }
  return "";
}

absl::Status ApplyPriority(const Caller& caller, const v1::GenerateRequest& request,
                           ValidRequest& valid) {
  // Classes are in falling order.
  if (request.scheduling().priority() == v1::PRIORITY_CLASS_UNSPECIFIED) {
    valid.scheduling.priority = std::max(caller.default_priority, caller.highest_priority);
    EchoScheduling(valid.scheduling, &valid.effective);
    return absl::OkStatus();
  }
  if (valid.scheduling.priority >= caller.highest_priority) return absl::OkStatus();
  return WithMetadata(
      ReasonError(
          ErrorReason::kPriorityNotAllowed,
          absl::StrCat("scheduling.priority: ", NameOf(valid.scheduling.priority),
                       " is above this caller's highest, ", NameOf(caller.highest_priority))),
      kFieldKey, "scheduling.priority");
}

absl::Status ApplyMaxNewTokens(const Caller& caller, const v1::GenerateRequest& request,
                               ValidRequest& valid) {
  if (!caller.max_new_tokens || valid.max_new_tokens <= *caller.max_new_tokens) {
    return absl::OkStatus();
  }
  const int32_t most = *caller.max_new_tokens;
  if (request.stopping().has_max_new_tokens()) {
    return FieldError("stopping.max_new_tokens",
                      absl::StrCat(request.stopping().max_new_tokens(), " is out of range [0, ",
                                   most, "], of this caller"));
  }
  absl::Status status =
      CheckInt("stopping.min_new_tokens", valid.spec->stopping.min_new_tokens, 0, most);
  if (!status.ok()) return status;
  auto spec = std::make_shared<GenerationSpec>(*valid.spec);
  spec->stopping.max_new_tokens = most;
  valid.spec = std::move(spec);
  valid.max_new_tokens = most;
  valid.effective.mutable_stopping()->set_max_new_tokens(most);
  if (valid.resumed == nullptr || static_cast<int32_t>(valid.resumed->size()) < most) {
    return absl::OkStatus();
  }
  return FieldError("resume.generated_tokens",
                    absl::StrCat(valid.resumed->size(), " tokens leave nothing of max_new_tokens ",
                                 most, ", of this caller"));
}

}  // namespace

absl::StatusOr<ValidRequest> WithinLimits(const Caller& caller, const v1::GenerateRequest& request,
                                          absl::StatusOr<ValidRequest> valid) {
  if (!valid.ok()) return valid;
  absl::Status status = ApplyPriority(caller, request, *valid);
  status.Update(ApplyMaxNewTokens(caller, request, *valid));
  if (!status.ok()) return status;
  return valid;
}

absl::StatusOr<ValidRequest> WithinLimits(const Caller& caller,
                                          absl::StatusOr<ValidRequest> valid) {
  if (valid.ok()) {
    valid->scheduling.priority = std::max(caller.default_priority, caller.highest_priority);
  }
  return valid;
}

}  // namespace hocket
