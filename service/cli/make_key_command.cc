// `hocket make-key`: a fresh API key, and the entry of --api-keys that knows it.
#include <sys/random.h>

#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "service/api_keys.h"
#include "service/cli/command.h"
#include "service/cli/output.h"

namespace hocket {
namespace {

constexpr size_t kKeyBytes = 32;
// By which people and secret scanners know what it is.
constexpr char kPrefix[] = "hk_";

absl::StatusOr<std::string> FreshKey() {
  std::array<char, kKeyBytes> random;
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    return absl::UnavailableError("the system gives no random bytes");
  }
  return absl::StrCat(kPrefix,
                      absl::WebSafeBase64Escape(absl::string_view(random.data(), random.size())));
}

class MakeKeyCommand final : public Command {
 public:
  absl::string_view name() const override { return "make-key"; }
  absl::string_view summary() const override { return "Make an API key for --api-keys"; }

  void AddFlags(CLI::App& app) override {
    app.add_option("--name", name_, "Of the key, for logs")->required()->type_name("NAME");
    app.add_option("--tenant", tenant_, "Whom calls with it are for")
        ->required()
        ->type_name("NAME");
    app.add_option("--scope", scopes_, "generate or admin, repeated for both")
        ->check(CLI::IsMember({"generate", "admin"}))
        ->capture_default_str();
    app.add_option("--expires", expires_, "Time of RFC 3339, such as 2030-12-31T23:59:59Z")
        ->type_name("TIME");
  }

  absl::StatusOr<int> Run() override {
    const absl::StatusOr<std::string> key = FreshKey();
    if (!key.ok()) return key.status();
    nlohmann::ordered_json entry;
    entry["name"] = name_;
    entry["sha256"] = HexOf(DigestOfKey(*key));
    entry["tenant"] = tenant_;
    entry["scopes"] = scopes_;
    if (!expires_.empty()) entry["expires"] = expires_;
    std::string line;
    try {
      line = entry.dump();
    } catch (const nlohmann::json::exception&) {
      return absl::InvalidArgumentError("--name, --tenant: are not UTF-8");
    }
    // What the server would say to it.
    const absl::Status good = ApiKeys::Parse(absl::StrCat(R"({"keys": [)", line, "]}")).status();
    if (!good.ok()) return good;
    // The key alone on standard output's first line, where a script finds it.
    absl::Status written = WriteOutput(absl::StrCat(
        *key, "\n\nIt is shown this once. For the list \"keys\" of the server's --api-keys:\n",
        line, "\n"));
    if (!written.ok()) return written;
    return 0;
  }

 private:
  std::string name_;
  std::string tenant_;
  std::vector<std::string> scopes_ = {"generate"};
  std::string expires_;
};

}  // namespace

std::unique_ptr<Command> NewMakeKeyCommand() { return std::make_unique<MakeKeyCommand>(); }

}  // namespace hocket
