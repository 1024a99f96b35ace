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

CHAIN(greedy, .temperature = 0);
CHAIN(temperature, .temperature = 0.8f);
CHAIN(top_k, .temperature = 0.8f, .top_k = 50);
CHAIN(top_k_top_p, .temperature = 0.8f, .top_k = 50, .top_p = 0.95f);
CHAIN(top_p, .temperature = 0.8f, .top_p = 0.95f);
CHAIN(greedy_scored, .temperature = 0, .scored = true, .top_logprobs = 20);

}  // namespace
}  // namespace hocket

BENCHMARK_MAIN();
