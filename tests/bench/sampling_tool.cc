// Microseconds of processor time that the sampling stage takes for one row, call by call, for one
// chain of sampling.py. Prints a JSON list. Measured by hand, never as a test.
#include <time.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/sampling/sampling_stage.h"

namespace hocket {
namespace {

struct Options {
  std::string chain = "greedy";
  std::string logits_file;
  int32_t vocabulary = 128256;
  int32_t calls = 100;
  int32_t threads = 1;
  bool wall = false;
};

double NowMicroseconds(bool wall) {
  timespec now{};
  clock_gettime(wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e6 * static_cast<double>(now.tv_sec) + 1e-3 * static_cast<double>(now.tv_nsec);
}

std::vector<float> ReadFloats(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  std::vector<float> values(static_cast<size_t>(file.tellg()) / sizeof(float));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

// The last 64 tokens of a sequence: 32 of its prompt and 32 generated ones, each once.
std::vector<TokenCount> LastTokens(int32_t vocabulary) {
  std::vector<TokenCount> counts;
  for (int32_t i = 0; i < 64; ++i) counts.push_back({i * 1999 % vocabulary, 1, i % 2});
  return counts;
}

int Measure(const Options& options) {
  const std::vector<TokenCount> counts = LastTokens(options.vocabulary);
  const LogitEdits penalties{.counts = counts,
                             .repetition_penalty = 1.1f,
                             .presence_penalty = 0.1f,
                             .frequency_penalty = 0.1f};
  using Row = SamplingRows::Row;
  const std::map<std::string, Row> chains = {
      {"greedy", Row{.temperature = 0}},
      {"temperature", Row{.temperature = 0.8f}},
      {"top-k",
       Row{.temperature = 0.8f, .top_k = 50, .top_p = 0.95f, .min_p = 0.05f, .edits = &penalties}},
      {"no-top-k", Row{.temperature = 0.8f, .top_p = 0.95f, .min_p = 0.05f, .edits = &penalties}},
      {"top-p", Row{.temperature = 0.8f, .top_p = 0.95f}},
      {"typical-p", Row{.temperature = 0.8f, .typical_p = 0.95f}},
      {"top-n-sigma", Row{.temperature = 0.8f, .top_n_sigma = 1}},
      {"xtc", Row{.temperature = 0.8f, .xtc_probability = 1, .xtc_threshold = 0.1f}},
      {"logprobs", Row{.temperature = 0, .scored = true, .top_logprobs = 20}},
  };
  std::vector<float> logits = ReadFloats(options.logits_file);
  const size_t rows = logits.size() / options.vocabulary;
  if (!chains.contains(options.chain) || rows == 0) {
    std::cerr << "no chain " << options.chain << ", or no row in " << options.logits_file << "\n";
    return 2;
  }
  Row row = chains.at(options.chain);
  SamplingStage stage(options.vocabulary, options.threads);
  SamplingRows settings;
  nlohmann::json times = nlohmann::json::array();
  for (int32_t call = 0; call < options.calls; ++call) {
    row.position = call;
    const std::span<float> one =
        std::span(logits).subspan(call % rows * options.vocabulary, options.vocabulary);
    const double begin = NowMicroseconds(options.wall);
    settings.Clear();
    settings.Add(row);
    stage.Run(one, settings);
    times.push_back(NowMicroseconds(options.wall) - begin);
    if (stage.result(0).error != RowError::kNone) return 3;
  }
  std::cout << times << "\n";
  return 0;
}

}  // namespace
}  // namespace hocket

int main(int argc, char** argv) {
  hocket::Options options;
  CLI::App app("Times the sampling stage, row by row.");
  app.add_option("--chain", options.chain);
  app.add_option("--logits", options.logits_file, "rows of f32 logits")->required();
  app.add_option("--vocabulary", options.vocabulary)->check(CLI::PositiveNumber);
  app.add_option("--calls", options.calls)->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads)->check(CLI::PositiveNumber);
  app.add_flag("--wall", options.wall, "time that passed, not processor time");
  CLI11_PARSE(app, argc, argv);
  return hocket::Measure(options);
}
