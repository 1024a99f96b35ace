#include "service/server_settings.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "service/field_checks.h"

namespace hocket {

absl::Status ServerSettings::Validate() const {
  if (host.empty()) return absl::InvalidArgumentError("host: is empty");
  absl::Status status = CheckInt("port", port, 0, 65535);
  status.Update(CheckInt("metrics_port", metrics_port, -1, 65535));
  status.Update(CheckInt("max_prompt_bytes", max_prompt_bytes, 1, int64_t{1} << 30));
  status.Update(CheckInt("max_message_bytes", max_message_bytes, 1 << 10, 1 << 30));
  status.Update(CheckInt("max_concurrent_streams", max_concurrent_streams, 1, 1 << 20));
  status.Update(CheckInt("max_text_threads", max_text_threads, 1, 256));
  status.Update(CheckInt("max_queued_texts", max_queued_texts, 1, 1 << 20));
  status.Update(
      CheckSeconds("slow_sender_seconds", slow_sender, absl::Milliseconds(100), absl::Hours(24)));
  status.Update(CheckSeconds("drain_seconds", drain, absl::ZeroDuration()));
  status.Update(security.Validate(host));
  status.Update(sessions.Validate());
  status.Update(health.Validate());
  return status;
}

std::string ListenAddress(const std::string& host, int32_t port) {
  const bool bare_ipv6 = absl::StrContains(host, ':') && !absl::StartsWith(host, "[");
  return bare_ipv6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

}  // namespace hocket
