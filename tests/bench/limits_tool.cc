// hocket_limits_tool: how near a model's steps come to what the machine gives at that very moment.
// In turns of a tenth of a second each, so that a machine that is shared with others treats all
// alike: a plain read of as many bytes as the weights have, a decode step of one sequence, the int8
// products out of registers, and a prefill chunk. Figures are medians over the rounds. Start it
// with GOMP_SPINCOUNT=1000, as `./dev bench limits` does: else an idle worker spins on a core that
// the read and the products then lack.
//
//   hocket_limits_tool --model DIR [--precision int8] [--rounds 20] [--context 128] [--chunk 512]
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "nlohmann/json.hpp"
#include "runtime/kernels/aligned_buffer.h"
#include "runtime/model/decoder.h"
#include "tests/bench/peak_loops.h"

namespace hocket {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct LimitsSettings {
  RuntimeSettings runtime;
  std::string precision = "int8";
  int32_t rounds = 20;
  int32_t context = 128;
  int32_t chunk = 512;
  std::string format = "text";
};

struct Figures {
  std::vector<double> read_seconds, decode_seconds, prefill_seconds;
  std::vector<double> peak;  // int8 operations a second.
};

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Seconds that `work(index)` takes on `threads` threads, the slowest counted. Threads of their own,
// since a second OpenMP team would change how the decoder's own waits.
template <class Work>
double OnThreads(int32_t threads, const Work& work) {
  const Clock::time_point start = Clock::now();
  std::vector<std::thread> others;
  for (int32_t i = 1; i < threads; ++i) others.emplace_back([&work, i] { work(i); });
  work(0);
  for (std::thread& other : others) other.join();
  return SecondsSince(start);
}

// The fastest loop of exact int8 products that this CPU runs.
PeakLoop ExactInt8Loop(int32_t threads) {
  PeakLoop best{};
  double best_rate = 0;
  for (const PeakLoop& loop : PeakLoops()) {
    const std::string_view name = loop.name;
    if (std::string_view(loop.kind) != "int8" || name.find("maddubs") != name.npos) continue;
    constexpr int64_t kRounds = 2'000'000;
    const double seconds = OnThreads(threads, [&](int32_t) { loop.run(kRounds); });
    const double rate = static_cast<double>(loop.operations) * kRounds / seconds;
    if (rate > best_rate) best_rate = rate, best = loop;
  }
  return best;
}

class Steps {
 public:
  Steps(Decoder* decoder, int32_t block_tokens) : decoder_(decoder), block_tokens_(block_tokens) {
    logits_.resize(decoder->info().vocabulary_size);
  }

  // One sequence, `tokens` tokens from `position` on, and the logits after the last.
  absl::Status Run(int32_t position, int32_t tokens) {
    StepPlan plan;
    const int32_t blocks = (position + tokens + block_tokens_ - 1) / block_tokens_;
    plan.rows.push_back({1, position, 0, tokens, 0, blocks, true});
    for (int32_t t = 0; t < tokens; ++t) plan.tokens.push_back((t * 7 + position) % 1000);
    for (int32_t b = 0; b < blocks; ++b) plan.blocks.push_back(b);
    const std::vector<int32_t> outputs = {tokens - 1};
    const absl::StatusOr<std::span<const float>> hidden = decoder_->Forward(plan, outputs);
    if (!hidden.ok()) return hidden.status();
    return decoder_->Logits(*hidden, 1, std::span(logits_));
  }

 private:
  Decoder* const decoder_;
  const int32_t block_tokens_;
  std::vector<float> logits_;
};

absl::StatusOr<Figures> Measure(const LimitsSettings& settings, Decoder& decoder) {
  constexpr int64_t kReadStep = 4096;
  const int32_t threads = decoder.info().threads;
  const int64_t share = decoder.info().weight_bytes / threads / kReadStep * kReadStep;
  absl::StatusOr<AlignedBuffer> buffer = AlignedBuffer::Allocate(share * threads, "the plain read");
  if (!buffer.ok()) return buffer.status();
  auto* data = buffer->As<std::byte>();
  std::fill(data, data + share * threads, std::byte{1});
  const PeakLoop loop = ExactInt8Loop(threads);
  if (loop.run == nullptr) return absl::UnimplementedError("no int8 loop for this CPU");
  Steps steps(&decoder, settings.runtime.block_tokens);
  std::atomic<uint64_t> folded{0};
  Figures figures;
  for (int32_t round = -1; round < settings.rounds; ++round) {
    const double read =
        OnThreads(threads, [&](int32_t i) { folded ^= ReadBytes(data + i * share, share); });
    Clock::time_point start = Clock::now();
    if (absl::Status status = steps.Run(settings.context, 1); !status.ok()) return status;
    const double decode = SecondsSince(start);
    constexpr int64_t kRounds = 4'000'000;
    const double peak = OnThreads(threads, [&](int32_t) { loop.run(kRounds); });
    start = Clock::now();
    if (absl::Status status = steps.Run(0, settings.chunk); !status.ok()) return status;
    const double prefill = SecondsSince(start);
    if (round < 0) continue;  // Warms up.
    figures.read_seconds.push_back(read);
    figures.decode_seconds.push_back(decode);
    figures.peak.push_back(static_cast<double>(loop.operations) * kRounds * threads / peak);
    figures.prefill_seconds.push_back(prefill);
  }
  return figures;
}

// Of the products of `tokens` tokens, the head's only once.
double PrefillOperations(const ModelInfo& info, int32_t tokens) {
  const double head = static_cast<double>(info.vocabulary_size) * info.hidden_size;
  return 2 * ((static_cast<double>(info.parameters) - head) * tokens + head);
}

int Main(LimitsSettings settings) {
  absl::StatusOr<Precision> precision = ParsePrecision(settings.precision);
  if (!precision.ok()) return std::cerr << precision.status().message() << "\n", 1;
  settings.runtime.precision = *precision;
  settings.runtime.max_step_tokens = std::max(settings.chunk, 512);
  settings.runtime.kv_cache_bytes = int64_t{256} << 20;
  std::atomic<bool> moved{false};
  settings.runtime.later_notice = [&moved](std::string_view) { moved = true; };
  absl::StatusOr<std::unique_ptr<Decoder>> decoder = Decoder::Load(settings.runtime);
  if (!decoder.ok()) return std::cerr << decoder.status().message() << "\n", 1;
  // The weights move into large pages meanwhile, where they are mapped from their cache.
  for (int i = 0; i < 100 && !moved && (*decoder)->info().weights_mapped; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  const absl::StatusOr<Figures> figures = Measure(settings, **decoder);
  if (!figures.ok()) return std::cerr << figures.status().message() << "\n", 1;
  const ModelInfo& info = (*decoder)->info();
  const auto bytes = static_cast<double>(info.weight_bytes);
  const double plain = bytes / Median(figures->read_seconds) / 1e9;
  const double step = bytes / Median(figures->decode_seconds) / 1e9;
  const double peak = Median(figures->peak) / 1e12;
  const double prefill =
      PrefillOperations(info, settings.chunk) / Median(figures->prefill_seconds) / 1e12;
  if (settings.format == "json") {
    std::cout << nlohmann::json{{"plain_read_gb_s", plain},  {"decode_gb_s", step},
                                {"int8_peak_t_s", peak},     {"prefill_t_s", prefill},
                                {"rounds", settings.rounds}, {"threads", info.threads}}
                     .dump()
              << "\n";
    return 0;
  }
  std::printf(
      "weights read by a decode step of one sequence: %.1f GB/s, %.0f %% of a plain read's %.1f\n",
      step, 100 * step / plain, plain);
  std::printf(
      "products of a prefill chunk of %d: %.3f T/s, %.0f %% of the exact int8 peak's %.3f\n",
      settings.chunk, prefill, 100 * prefill / peak, peak);
  return 0;
}

}  // namespace
}  // namespace hocket

int main(int argc, char** argv) {
  CLI::App app("How near a model's steps come to what memory and arithmetic give");
  hocket::LimitsSettings settings;
  app.add_option("--model", settings.runtime.model_dir, "Folder of the model")->required();
  app.add_option("--precision", settings.precision)->capture_default_str();
  app.add_option("--threads", settings.runtime.threads, "0: as many as may be used");
  app.add_option("--rounds", settings.rounds)->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--context", settings.context)->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--chunk", settings.chunk)->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--format", settings.format)->check(CLI::IsMember({"text", "json"}));
  CLI11_PARSE(app, argc, argv);
  return hocket::Main(settings);
}
