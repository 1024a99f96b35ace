// hocket_quality_tool: what a precision costs. Runs a model in a reference precision and then in
// each of the candidates over the same windows of tokens, and compares the distributions over the
// whole vocabulary at every position.
//
//   hocket_quality_tool --model DIR --text-file FILE --candidates bf16,int8,int4,int8/int8
//   hocket_quality_tool --model DIR --random-tokens 256 --windows 2 --candidates int8
//
// A candidate is a weight precision, and a KV precision after a slash where it is not auto. A text
// is cut after every <|endoftext|> into documents, each a window of its own.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "runtime/model/decoder.h"
#include "runtime/text/tokenizer.h"
#include "tests/bench/distribution_distance.h"

namespace hocket {
namespace {

constexpr int32_t kStepTokens = 256;
constexpr char kDocumentEnd[] = "<|endoftext|>";

struct QualitySettings {
  std::string model;
  std::string text_file;
  int32_t random_tokens = 256;
  int32_t windows = 0;  // 0: all documents, or one of random tokens.
  int32_t window_tokens = 1024;
  uint32_t seed = 1;
  int32_t threads = 0;
  std::string reference = "f32/f32";
  std::vector<std::string> candidates = {"bf16"};
  std::string format = "text";
};

using Window = std::vector<TokenId>;

absl::StatusOr<std::vector<Window>> DocumentWindows(const QualitySettings& settings) {
  std::ifstream file(settings.text_file, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(settings.text_file, ": cannot be read"));
  std::ostringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(settings.model);
  if (!tokenizer.ok()) return tokenizer.status();
  std::vector<Window> windows;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find(kDocumentEnd, begin);
    end = end == std::string::npos ? text.size() : end + sizeof(kDocumentEnd) - 1;
    absl::StatusOr<Window> tokens = (*tokenizer)->Encode(text.substr(begin, end - begin), false);
    if (!tokens.ok()) return tokens.status();
    if (tokens->size() > static_cast<size_t>(settings.window_tokens)) {
      tokens->resize(settings.window_tokens);
    }
    if (tokens->size() > 1) windows.push_back(*std::move(tokens));
    begin = text.find_first_not_of('\n', end);
    if (begin == std::string::npos) break;
  }
  if (settings.windows > 0 && windows.size() > static_cast<size_t>(settings.windows)) {
    windows.resize(settings.windows);
  }
  return windows;
}

std::vector<Window> RandomWindows(const QualitySettings& settings, int32_t vocabulary) {
  std::mt19937 random(settings.seed);
  std::vector<Window> windows(std::max(1, settings.windows));
  for (Window& window : windows) {
    window.resize(settings.random_tokens);
    for (TokenId& token : window) token = static_cast<TokenId>(random() % vocabulary);
  }
  return windows;
}

// "int8" or "int8/bf16": weights, then keys and values.
absl::StatusOr<std::unique_ptr<Decoder>> LoadIn(const std::string& precisions,
                                                const QualitySettings& settings) {
  const size_t slash = precisions.find('/');
  const absl::StatusOr<Precision> weights = ParsePrecision(precisions.substr(0, slash));
  if (!weights.ok()) return weights.status();
  RuntimeSettings runtime;
  runtime.model_dir = settings.model;
  runtime.precision = *weights;
  if (slash != std::string::npos) {
    const absl::StatusOr<KvPrecision> kv = ParseKvPrecision(precisions.substr(slash + 1));
    if (!kv.ok()) return kv.status();
    runtime.kv_precision = *kv;
  }
  runtime.threads = settings.threads;
  runtime.kv_cache_bytes = int64_t{1} << 30;
  runtime.max_step_tokens = kStepTokens;
  runtime.max_running_sequences = 1;
  return Decoder::Load(runtime);
}

// Appends to `logprobs` those of every position of the window but the last:
// [positions][vocabulary].
absl::Status RunWindow(Decoder& decoder, const Window& window, std::vector<float>& logprobs) {
  const int32_t vocabulary = decoder.info().vocabulary_size;
  const auto positions = static_cast<int32_t>(window.size()) - 1;
  StepPlan plan;
  for (int32_t first = 0; first < positions; first += kStepTokens) {
    const int32_t count = std::min(kStepTokens, positions - first);
    plan.tokens.assign(window.begin() + first, window.begin() + first + count);
    const int32_t blocks = (first + count + 15) / 16;
    plan.blocks.resize(blocks);
    for (int32_t i = 0; i < blocks; ++i) plan.blocks[i] = i;
    plan.rows = {{.first_position = first, .token_count = count, .block_count = blocks}};
    std::vector<int32_t> outputs(count);
    for (int32_t i = 0; i < count; ++i) outputs[i] = i;
    const absl::StatusOr<std::span<const float>> hidden = decoder.Forward(plan, outputs);
    if (!hidden.ok()) return hidden.status();
    const size_t begin = logprobs.size();
    logprobs.resize(begin + static_cast<size_t>(count) * vocabulary);
    const absl::Status status = decoder.Logits(*hidden, count, std::span(logprobs).subspan(begin));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// The log-probabilities at every position of every window: [windows][positions][vocabulary].
absl::StatusOr<std::vector<std::vector<float>>> RunAll(Decoder& decoder,
                                                       const std::vector<Window>& windows) {
  const int32_t vocabulary = decoder.info().vocabulary_size;
  std::vector<std::vector<float>> logprobs(windows.size());
  for (size_t i = 0; i < windows.size(); ++i) {
    const absl::Status status = RunWindow(decoder, windows[i], logprobs[i]);
    if (!status.ok()) return status;
    const std::span<float> rows(logprobs[i]);
    for (size_t at = 0; at < rows.size(); at += vocabulary) {
      LogSoftmax(rows.subspan(at, vocabulary));
    }
  }
  return logprobs;
}

absl::StatusOr<nlohmann::json> Compare(const std::string& candidate,
                                       const QualitySettings& settings,
                                       const std::vector<Window>& windows,
                                       const std::vector<std::vector<float>>& reference) {
  absl::StatusOr<std::unique_ptr<Decoder>> decoder = LoadIn(candidate, settings);
  if (!decoder.ok()) return decoder.status();
  const int32_t vocabulary = (*decoder)->info().vocabulary_size;
  absl::StatusOr<std::vector<std::vector<float>>> logprobs = RunAll(**decoder, windows);
  if (!logprobs.ok()) return logprobs.status();
  DistributionDistance distance;
  for (size_t i = 0; i < windows.size(); ++i) {
    for (size_t position = 0; position + 1 < windows[i].size(); ++position) {
      const auto row = [&](const std::vector<float>& values) {
        return std::span(values).subspan(position * vocabulary, vocabulary);
      };
      distance.Add(row(reference[i]), row((*logprobs)[i]), windows[i][position + 1]);
    }
  }
  const ModelInfo& info = (*decoder)->info();
  return nlohmann::json{{"candidate", candidate},
                        {"weights", PrecisionName(info.precision)},
                        {"kv", KvPrecisionName(info.kv_precision)},
                        {"cpu", info.cpu},
                        {"weight_bytes", info.weight_bytes},
                        {"positions", distance.positions()},
                        {"mean_kl", distance.MeanDivergence()},
                        {"kl_p99", distance.DivergenceQuantile(0.99)},
                        {"top1_agreement", distance.TopAgreement()},
                        {"reference_perplexity", distance.ReferencePerplexity()},
                        {"perplexity", distance.CandidatePerplexity()}};
}

absl::StatusOr<nlohmann::json> Measure(const QualitySettings& settings) {
  absl::StatusOr<std::unique_ptr<Decoder>> decoder = LoadIn(settings.reference, settings);
  if (!decoder.ok()) return decoder.status();
  absl::StatusOr<std::vector<Window>> windows =
      settings.text_file.empty() ? RandomWindows(settings, (*decoder)->info().vocabulary_size)
                                 : DocumentWindows(settings);
  if (!windows.ok()) return windows.status();
  const absl::StatusOr<std::vector<std::vector<float>>> reference = RunAll(**decoder, *windows);
  if (!reference.ok()) return reference.status();
  decoder->reset();  // Its memory is the candidates' now.
  nlohmann::json results = nlohmann::json::array();
  for (const std::string& candidate : settings.candidates) {
    absl::StatusOr<nlohmann::json> result = Compare(candidate, settings, *windows, *reference);
    if (!result.ok()) return result.status();
    (*result)["reference"] = settings.reference;
    (*result)["windows"] = windows->size();
    results.push_back(*std::move(result));
  }
  return results;
}

void PrintText(const nlohmann::json& results) {
  for (const auto& result : results) {
    std::printf(
        "%-10s mean KL %.6f, p99 %.6f, top-1 agreement %.4f, perplexity %.4f of %.4f (%+.3f %%), "
        "%lld positions\n",
        result["candidate"].get<std::string>().c_str(), result["mean_kl"].get<double>(),
        result["kl_p99"].get<double>(), result["top1_agreement"].get<double>(),
        result["perplexity"].get<double>(), result["reference_perplexity"].get<double>(),
        100 *
            (result["perplexity"].get<double>() / result["reference_perplexity"].get<double>() - 1),
        static_cast<long long>(result["positions"].get<int64_t>()));
  }
}

int Run(const QualitySettings& settings) {
  const absl::StatusOr<nlohmann::json> results = Measure(settings);
  if (!results.ok()) {
    std::cerr << "hocket_quality_tool: " << results.status().message() << "\n";
    return 1;
  }
  if (settings.format == "json") {
    std::cout << results->dump() << "\n";
  } else {
    PrintText(*results);
  }
  return 0;
}

}  // namespace
}  // namespace hocket

int main(int argc, char** argv) {
  hocket::QualitySettings settings;
  CLI::App app("What a precision costs: divergence, top-1 agreement and perplexity");
  app.add_option("-m,--model", settings.model, "Folder of the model")->required();
  auto* text = app.add_option("--text-file", settings.text_file, "Text to run the model over");
  app.add_option("--random-tokens", settings.random_tokens, "Random tokens of a window instead")
      ->check(CLI::Range(2, 1 << 20))
      ->excludes(text)
      ->capture_default_str();
  app.add_option("--windows", settings.windows, "At most so many windows (0: all, or one)");
  app.add_option("--window-tokens", settings.window_tokens, "What is kept of a document")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--seed", settings.seed, "Of the random tokens")->capture_default_str();
  app.add_option("--threads", settings.threads, "0: as many as there are");
  app.add_option("--reference", settings.reference, "Precisions WEIGHTS[/KV] to compare with")
      ->capture_default_str();
  app.add_option("--candidates", settings.candidates, "Precisions WEIGHTS[/KV],... to compare")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--format", settings.format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return hocket::Run(settings);
}
