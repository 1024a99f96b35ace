#include "service/cli/security_flags.h"

#include <string>

#include "CLI/CLI.hpp"
#include "service/cli/byte_size.h"
#include "service/cli/flag_checks.h"

namespace hocket {
namespace {

constexpr int64_t kMaxConnections = 1 << 20;
constexpr double kMaxSeconds = 30 * 86400;

absl::Duration SecondsOrNever(double seconds) {
  return seconds == 0 ? absl::InfiniteDuration() : absl::Seconds(seconds);
}

}  // namespace

void SecurityFlags::AddFiles(CLI::App& app) {
  const auto file = [&app](const char* flag, std::string& path, const char* description) {
    app.add_option(flag, path, description)->type_name("FILE");
  };
  file("--api-keys", settings_.api_keys_file,
       "JSON file of the keys that may call; read again when it changes");
  file("--tls-cert", settings_.tls.certificate,
       "Certificate in PEM, with what leads to its CA; read again when it changes");
  file("--tls-key", settings_.tls.key, "Its private key in PEM");
  file("--tls-client-ca", settings_.tls.client_ca,
       "CAs in PEM, one of which must have signed each client's certificate");
  app.add_flag("--allow-plaintext", settings_.allow_plaintext,
               "Serve beyond this machine without TLS, where something else encrypts")
      ->default_str("false");
}

void SecurityFlags::AddLimits(CLI::App& app) {
  app.add_option("--max-connections", settings_.max_connections, "Connections open at a time")
      ->check(WholeNumber(1, kMaxConnections))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--max-connections-per-address", settings_.max_connections_per_address,
                 "Of one client's address; 0: as many as there may be")
      ->check(WholeNumber(0, kMaxConnections))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--max-connection-calls-per-second", settings_.max_connection_calls_per_second,
                 "A connection on which more calls are opened is ended")
      ->check(WholeNumber(1, 1'000'000))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--max-connection-resets-per-second", settings_.max_connection_resets_per_second,
                 "A connection on which more calls are reset, most of them at once, is ended")
      ->check(WholeNumber(1, 1'000'000))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--max-connection-idle-seconds", max_idle_seconds_,
                 "A connection without calls is closed after this time; 0: never")
      ->check(Number(0, kMaxSeconds))
      ->capture_default_str()
      ->type_name("S");
  app.add_option("--max-connection-age-seconds", max_age_seconds_,
                 "A connection takes no calls after this time, so that clients are spread anew; "
                 "0: no limit")
      ->check(Number(0, kMaxSeconds))
      ->capture_default_str()
      ->type_name("S");
  app.add_option("--max-buffer-bytes", settings_.max_buffer_bytes,
                 "Of what is being received and sent, over all connections")
      ->transform(ByteSize())
      ->capture_default_str()
      ->type_name("SIZE");
}

void SecurityFlags::Fill() {
  settings_.max_connection_idle = SecondsOrNever(max_idle_seconds_);
  settings_.max_connection_age = SecondsOrNever(max_age_seconds_);
}

}  // namespace hocket
