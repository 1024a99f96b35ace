// The constraint of a request: checked, and compiled before the request is queued. Any thread.
#ifndef HOCKET_SERVICE_CONSTRAINT_H_
#define HOCKET_SERVICE_CONSTRAINT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "hocket/v1/generation.pb.h"
#include "service/model_text.h"

namespace hocket {

// Null where no kind of constraint is set. INVALID_ARGUMENT naming the field, and what the
// grammar's library says is wrong or too complex.
absl::StatusOr<std::shared_ptr<const Grammar>> ReadConstraint(const v1::Constraint& constraint,
                                                              const ModelText& text);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CONSTRAINT_H_
