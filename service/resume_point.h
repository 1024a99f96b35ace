// What of an answer a client has already (v1.Resume), and whether that can be. Pure; any thread.
#ifndef HOCKET_SERVICE_RESUME_POINT_H_
#define HOCKET_SERVICE_RESUME_POINT_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hocket/v1/generation.pb.h"
#include "scheduler/step.h"
#include "service/event_log.h"

namespace hocket {

// At most one of the two is not empty.
struct ResumePoint {
  std::vector<TokenId> generated;  // Of choice 0.
  std::vector<int64_t> offsets;    // How many tokens of each choice; missing ones are 0.

  int64_t Tokens(int32_t choice) const;
  bool HasTokens() const;  // Of any choice.
};

// INVALID_ARGUMENT naming the field: both are given, or an offset is negative.
absl::StatusOr<ResumePoint> ReadResume(const v1::Resume& in);

// For a request that this server does not hold, whose answer is computed anew: INVALID_ARGUMENT
// where offsets are out of range, or the answer would not be the same because nothing fixes it.
absl::Status CheckOffsets(const v1::GenerateRequest& request, int32_t choices,
                          int32_t max_new_tokens, float temperature);

// Where a client that comes back reads on. `begun`: what the log's first client had. It may have
// had more than the log has by now. INVALID_ARGUMENT naming the field where the client's tokens are
// not this request's, or more than there are. `choices`: of the request, where that is known by
// now.
absl::StatusOr<LogCursor> CursorAt(const ResumePoint& point, const ResumePoint& begun,
                                   const EventLog& log, int32_t choices);

}  // namespace hocket

#endif  // HOCKET_SERVICE_RESUME_POINT_H_
