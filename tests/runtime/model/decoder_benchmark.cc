// Times a decoder alone: loading, prefill and decode steps at several batch sizes.
//   decoder_benchmark MODEL_DIR [f32|bf16] [context] [threads]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "tests/runtime/model/decoder_harness.h"

namespace hocket {
namespace {

using Clock = std::chrono::steady_clock;
double Seconds(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

// One step of `sequences` rows of `tokens` tokens at `position`, logits of each last token
// included.
double StepSeconds(Decoder& decoder, int32_t sequences, int32_t tokens, int32_t position,
                   std::vector<float>& logits) {
  StepPlan plan;
  std::vector<int32_t> outputs;
  const int32_t blocks = (position + tokens + 15) / 16;
  for (int32_t s = 0; s < sequences; ++s) {
    plan.rows.push_back({1, position, s * tokens, tokens, s * blocks, blocks, true});
    for (int32_t t = 0; t < tokens; ++t) plan.tokens.push_back((s * 131 + t * 7) % 1000);
    for (int32_t b = 0; b < blocks; ++b) plan.blocks.push_back(s * blocks + b);
    outputs.push_back((s + 1) * tokens - 1);
  }
  logits.resize(int64_t{sequences} * decoder.info().vocabulary_size);
  const auto start = Clock::now();
  const auto hidden = decoder.Forward(plan, outputs);
  if (!hidden.ok() || !decoder.Logits(*hidden, sequences, std::span(logits)).ok()) std::abort();
  return Seconds(start);
}

void Report(Decoder& decoder, int32_t sequences, int32_t tokens, int32_t position) {
  std::vector<float> logits;
  std::vector<double> times;
  const auto start = Clock::now();
  const std::clock_t cpu_start = std::clock();
  while (times.size() < 5 || (Seconds(start) < 2 && times.size() < 200)) {
    times.push_back(StepSeconds(decoder, sequences, tokens, position, logits));
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  const double cpu = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  std::printf(
      "%3d x %3d tokens at %4d: median %8.2f ms, best %8.2f ms, CPU %8.2f ms, %8.1f tokens/s\n",
      sequences, tokens, position, median * 1e3, times[0] * 1e3, cpu * 1e3 / times.size(),
      sequences * tokens / median);
}

int Main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: decoder_benchmark MODEL_DIR [f32|bf16]\n"), 2;
  RuntimeSettings settings;
  settings.model_dir = argv[1];
  settings.precision =
      argc > 2 && std::string(argv[2]) == "f32" ? Precision::kF32 : Precision::kBf16;
  const int32_t context = argc > 3 ? std::atoi(argv[3]) : 192;
  settings.threads = argc > 4 ? std::atoi(argv[4]) : 0;
  const auto start = Clock::now();
  const auto decoder = LoadDecoder(settings);
  std::printf("loaded in %.2f s: %.1f M parameters, %.1f MiB, %d threads, %s\n", Seconds(start),
              decoder->info().parameters / 1e6, decoder->info().weight_bytes / 1048576.0,
              decoder->info().threads, decoder->info().cpu.c_str());
  for (const int32_t sequences : {1, 2, 4, 8, 16, 32}) Report(*decoder, sequences, 1, context);
  Report(*decoder, 1, 128, 0);
  Report(*decoder, 1, 512, 0);
  return 0;
}

}  // namespace
}  // namespace hocket

int main(int argc, char** argv) { return hocket::Main(argc, argv); }
