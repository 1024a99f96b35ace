// Where a call stands in its client's distributed trace, as W3C Trace Context writes it in the
// metadata `traceparent`. Pure; any thread.
#ifndef HOCKET_SERVICE_TRACE_CONTEXT_H_
#define HOCKET_SERVICE_TRACE_CONTEXT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace hocket {

struct TraceContext {
  std::string trace_id;  // 32 lower-case hexadecimal digits.
  std::string span_id;   // 16: the client's span, the parent of what happens here.
  std::string flags;     // 2: "01" when the client records the trace.
};

// Reads VERSION-TRACE_ID-PARENT_ID-FLAGS (W3C Trace Context, section 3.2). Nothing when that is not
// what `traceparent` is, when an id is all zeros, or for the version ff. Of versions that are not
// known yet the first four fields count.
std::optional<TraceContext> ParseTraceparent(absl::string_view traceparent);

}  // namespace hocket

#endif  // HOCKET_SERVICE_TRACE_CONTEXT_H_
