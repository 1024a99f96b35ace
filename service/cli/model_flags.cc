#include "service/cli/model_flags.h"

#include <filesystem>
#include <limits>
#include <system_error>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "service/cli/flag_checks.h"

namespace hocket {
namespace {

namespace fs = std::filesystem;

constexpr char kDefaultModel[] = "models/tales";

// `prefix` is what `parse` puts before its messages, which the flag's name stands for.
template <class Parse>
CLI::Validator KnownName(absl::string_view prefix, Parse parse) {
  return CLI::Validator(
      [prefix, parse](std::string& text) {
        return std::string(absl::StripPrefix(parse(text).status().message(), prefix));
      },
      "");
}

CLI::Validator NotEmpty() {
  return CLI::Validator(
      [](std::string& text) { return std::string(text.empty() ? "is empty" : ""); }, "");
}

bool IsModel(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / "config.json", ignored);
}

}  // namespace

void ModelFlags::Add(CLI::App& app) {
  app.add_option("-m,--model", model_dir,
                 "Folder of a Hugging Face model (default: the model that comes along)")
      ->envname("HOCKET_MODEL")
      ->type_name("DIR");
  AddLoading(app);
}

void ModelFlags::AddLoading(CLI::App& app) {
  constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();
  app.add_option("--precision", precision,
                 "Weights: auto (the fastest here), f32, bf16, int8, int4 or int4-g128")
      ->check(KnownName("precision: ", &ParsePrecision))
      ->envname("HOCKET_PRECISION")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--kv-precision", kv_precision,
                 "Keys and values: auto (f32 with f32 weights, else bf16), f32, bf16 or int8")
      ->check(KnownName("kv_precision: ", &ParseKvPrecision))
      ->envname("HOCKET_KV_PRECISION")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option(
         "--weight-cache", settings.weight_cache,
         "Where quantized weights are kept for the next start: auto (beside the model, else "
         "in the user's cache), off, or a folder")
      ->check(NotEmpty())
      ->envname("HOCKET_WEIGHT_CACHE")
      ->capture_default_str()
      ->type_name("auto|off|DIR");
  app.add_option("--threads", settings.threads,
                 "Threads that compute (0: as many as the machine or container gives)")
      ->check(WholeNumber(0, 1024))
      ->envname("HOCKET_THREADS")
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--kv-cache-bytes", settings.kv_cache_bytes,
                 "Memory for keys and values, for example 2GiB (0: what is left, at most 4GiB)")
      ->transform(ByteSize())
      ->envname("HOCKET_KV_CACHE_BYTES")
      ->capture_default_str()
      ->type_name("SIZE");
  app.add_option("--max-step-tokens", settings.max_step_tokens,
                 "Tokens computed in one step: decode rows and prefill chunks")
      ->check(WholeNumber(1, 65536))
      ->envname("HOCKET_MAX_STEP_TOKENS")
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--max-running-sequences", settings.max_running_sequences,
                 "Sequences decoded together")
      ->check(WholeNumber(1, std::min<int64_t>(kMaxInt, 65536)))
      ->envname("HOCKET_MAX_RUNNING_SEQUENCES")
      ->capture_default_str()
      ->type_name("N");
}

absl::StatusOr<RuntimeSettings> ModelFlags::ResolveLoading() const {
  RuntimeSettings resolved = settings;
  absl::StatusOr<Precision> parsed = ParsePrecision(precision);
  if (!parsed.ok()) return parsed.status();
  resolved.precision = *parsed;
  absl::StatusOr<KvPrecision> parsed_kv = ParseKvPrecision(kv_precision);
  if (!parsed_kv.ok()) return parsed_kv.status();
  resolved.kv_precision = *parsed_kv;
  return resolved;
}

absl::StatusOr<RuntimeSettings> ModelFlags::Resolve() const {
  absl::StatusOr<std::string> folder = FindModel(model_dir, ProgramDir());
  if (!folder.ok()) return folder.status();
  absl::StatusOr<RuntimeSettings> resolved = ResolveLoading();
  if (!resolved.ok()) return resolved.status();
  resolved->model_dir = *std::move(folder);
  if (absl::Status status = resolved->Validate(); !status.ok()) return status;
  return resolved;
}

absl::StatusOr<std::string> FindModel(const std::string& given, const std::string& program_dir) {
  if (!given.empty()) {
    std::error_code ignored;
    if (!fs::exists(given, ignored)) {
      return absl::NotFoundError(absl::StrCat("--model: there is no folder \"", given,
                                              "\" (give the folder of a Hugging Face model)"));
    }
    if (!IsModel(given)) {
      return absl::NotFoundError(absl::StrCat("--model: no config.json in \"", given,
                                              "\" (give the folder of a Hugging Face model)"));
    }
    return given;
  }
  const fs::path program(program_dir);
  const fs::path places[] = {
      fs::path(kDefaultModel),
      program / kDefaultModel,
      program / ".." / kDefaultModel,
      program / "../share/hocket" / kDefaultModel,
  };
  for (const fs::path& place : places) {
    const fs::path folder = place.lexically_normal();
    if (IsModel(folder)) return folder.string();
  }
  return absl::NotFoundError(absl::StrCat("--model: the default model ", kDefaultModel,
                                          " is neither here nor beside ", program_dir,
                                          " (give the folder of a Hugging Face model)"));
}

std::string ProgramDir() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/exe", ignored).parent_path().string();
}

}  // namespace hocket
