#include "runtime/text/model_file.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

constexpr uintmax_t kMaxFileBytes = 256u << 20;  // The largest tokenizer.json known is 35 MB.

}  // namespace

absl::StatusOr<std::string> ReadModelFile(const std::string& model_dir, const std::string& name) {
  const std::filesystem::path path = std::filesystem::path(model_dir) / name;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat(path.string(), ": no such file"));
  }
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat(path.string(), ": ", error.message()));
  if (bytes > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), ": ", bytes, " bytes, over the limit of ", kMaxFileBytes));
  }
  std::ifstream file(path, std::ios::binary);
  std::string content(bytes, '\0');
  if (!file || !file.read(content.data(), static_cast<std::streamsize>(bytes))) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), ": cannot be read"));
  }
  return content;
}

}  // namespace hocket
