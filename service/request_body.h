// What makes two requests the same: all of them but their id, what of the answer the client has
// already, and the seed, which the client of a first call may have left to the server. Pure; any
// thread.
#ifndef HOCKET_SERVICE_REQUEST_BODY_H_
#define HOCKET_SERVICE_REQUEST_BODY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "hocket/v1/hocket.pb.h"

namespace hocket {

struct RequestBody {
  std::string digest;            // SHA-256 of everything else, the kind of the request included.
  std::optional<uint64_t> seed;  // As given.

  // Whether `again` may be this request, sent once more. `effective_seed`: the one in use, where
  // that is known by now. A seed that is not given is any.
  bool IsSentAgainBy(const RequestBody& again, std::optional<uint64_t> effective_seed) const;
};

// `model`: the name of the model that was found, so that it may be given or not. Generate and
// StreamGenerate give the same answer, and so have the same body.
RequestBody BodyOf(const v1::GenerateRequest& request, absl::string_view model);
RequestBody BodyOf(const v1::ScoreRequest& request, absl::string_view model);
RequestBody BodyOf(const v1::EmbedRequest& request, absl::string_view model);

}  // namespace hocket

#endif  // HOCKET_SERVICE_REQUEST_BODY_H_
