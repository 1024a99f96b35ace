// The fields of a GenerateRequest that are part of the contract but not implemented yet.
// Implementing one means deleting its line here. Pure; any thread.
#ifndef HOCKET_SERVICE_PLANNED_FIELDS_H_
#define HOCKET_SERVICE_PLANNED_FIELDS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hocket/v1/generation.pb.h"

namespace hocket {

// Paths from GenerateRequest: "sampling.min_p".
absl::Span<const absl::string_view> PlannedFields();

// UNIMPLEMENTED naming the first planned field that is present.
absl::Status RefusePlannedFields(const v1::GenerateRequest& request);

}  // namespace hocket

#endif  // HOCKET_SERVICE_PLANNED_FIELDS_H_
