// A request as it came over the wire, parsed here and not by gRPC, which answers what it cannot
// parse with a bare UNIMPLEMENTED. HocketService has its methods take it, and ReceivingHandler
// fills it on gRPC's threads, within the limit on a message's bytes.
#ifndef HOCKET_SERVICE_RECEIVED_H_
#define HOCKET_SERVICE_RECEIVED_H_

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace hocket {

template <typename Request>
struct Received {
  Request message;      // Empty where `status` is an error.
  absl::Status status;  // As of Receive.
};

// Parses `buffer`, and leaves it empty. MALFORMED_MESSAGE, or UNKNOWN_FIELD naming where it is and
// its number: a field that is not known here may be a setting, and settings are never ignored.
absl::Status Receive(grpc::ByteBuffer* buffer, google::protobuf::Message* message);

// UNKNOWN_FIELD for the first in `message` or in any message within, or OK.
absl::Status RefuseUnknownFields(const google::protobuf::Message& message);

}  // namespace hocket

// gRPC only makes it, without a message.
template <typename Request>
class grpc::SerializationTraits<hocket::Received<Request>, void> {
 public:
  static Status Deserialize(ByteBuffer*, hocket::Received<Request>*) { return Status::OK; }
};

#endif  // HOCKET_SERVICE_RECEIVED_H_
