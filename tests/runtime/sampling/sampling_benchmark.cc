// Microseconds per row of the stage's chains, on one thread.
#include <benchmark/benchmark.h>

#include <random>

#include "runtime/sampling/sampling_stage.h"

namespace hocket {
namespace {

void Run(benchmark::State& state, const SamplingRows::Row& row) {
  const int32_t vocabulary = static_cast<int32_t>(state.range(0));
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(vocabulary);
  for (float& logit : logits) logit = normal(random);
  SamplingStage stage(vocabulary, 1);
  SamplingRows rows;
  SamplingRows::Row setting = row;
  for (auto _ : state) {
    ++setting.position;
    rows.Clear();
    rows.Add(setting);
    stage.Run(logits, rows);
    benchmark::DoNotOptimize(stage.result(0).token);
  }
}

#define CHAIN(name, ...)                                       \
  BENCHMARK_CAPTURE(Run, name, SamplingRows::Row{__VA_ARGS__}) \
      ->Arg(4096)                                              \
      ->Arg(128256)                                            \
      ->Unit(benchmark::kMicrosecond)

// Penalties over 64 tokens, as a chat's answer has them.
const LogitEdits* Penalties() {
  static const std::vector<TokenCount> counts = [] {
    std::vector<TokenCount> made;
    for (TokenId i = 0; i < 64; ++i) made.push_back({i * 61, 1, i % 2});
    return made;
  }();
  static const LogitEdits edits{.counts = counts,
                                .repetition_penalty = 1.1f,
                                .presence_penalty = 0.1f,
                                .frequency_penalty = 0.1f};
  return &edits;
}

// A mask that leaves every other token, as a constraint within a string may.
const LogitEdits* Mask() {
  static const std::vector<uint32_t> mask(262144 / 32, 0x55555555);
  static const LogitEdits edits{.constraint = mask};
  return &edits;
}

CHAIN(greedy, .temperature = 0);
CHAIN(temperature, .temperature = 0.8f);
CHAIN(top_k, .temperature = 0.8f, .top_k = 50);
CHAIN(top_k_top_p, .temperature = 0.8f, .top_k = 50, .top_p = 0.95f);
CHAIN(top_p, .temperature = 0.8f, .top_p = 0.95f);
CHAIN(penalties_top_k_top_p_min_p, .temperature = 0.8f, .top_k = 50, .top_p = 0.95f, .min_p = 0.05f,
      .edits = Penalties());
CHAIN(penalties_top_p_min_p, .temperature = 0.8f, .top_p = 0.95f, .min_p = 0.05f,
      .edits = Penalties());
CHAIN(min_p, .temperature = 0.8f, .min_p = 0.05f);
CHAIN(typical_p, .temperature = 0.8f, .typical_p = 0.95f);
CHAIN(top_n_sigma, .temperature = 0.8f, .top_n_sigma = 1);
CHAIN(xtc, .temperature = 0.8f, .xtc_probability = 1, .xtc_threshold = 0.1f);
CHAIN(masked_temperature, .temperature = 0.8f, .edits = Mask());
CHAIN(greedy_scored, .temperature = 0, .scored = true, .top_logprobs = 20);

}  // namespace
}  // namespace hocket

BENCHMARK_MAIN();
