// Times one layer's attention on one thread, over blocks that lie anywhere: decode rows at several
// contexts, and prefill chunks. S is SmolLM2-135M's shape, L Llama-3.2-1B's.
//   attention_benchmark [part of a case's name] [seconds a case]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "runtime/kernels/aligned_buffer.h"
#include "runtime/kernels/paged_attention.h"

namespace hocket {
namespace {

constexpr int32_t kBlockTokens = 16;
// Steps take turns over as many layers as make up this much, so that none is still in a cache.
constexpr int64_t kColdBytes = int64_t{128} << 20;

struct Shape {
  const char* name;
  int32_t heads, kv_heads, head_dim;
};

// Rows of `tokens` tokens each, `context` positions before them, each row over blocks of its own.
class Step {
 public:
  Step(const Shape& shape, KvType type, int32_t rows, int32_t tokens, int32_t context)
      : shape_(shape),
        rows_(rows),
        tokens_(tokens),
        context_(context),
        kv_{type, shape.kv_heads, shape.head_dim, kBlockTokens},
        row_blocks_((context + tokens + kBlockTokens - 1) / kBlockTokens),
        layers_(std::max<int64_t>(1, kColdBytes / StorageBytes())),
        storage_(*AlignedBuffer::Allocate(layers_ * StorageBytes(), "blocks")),
        plan_(*AttentionPlan::Create({kv_, shape.heads, 1, rows * tokens, context + tokens})),
        scratch_(*AlignedBuffer::Allocate(plan_.scratch_bytes(), "scratch")),
        qkv_(int64_t{rows} * tokens * QkvSize()),
        angles_(int64_t{rows} * tokens * shape.head_dim / 2, 0.7f),
        out_(int64_t{rows} * tokens * shape.heads * shape.head_dim),
        blocks_(int64_t{rows} * row_blocks_) {
    // Small numbers in any type.
    std::memset(storage_.data(), 0x3c, layers_ * StorageBytes());
    std::mt19937 random(1);
    for (float& value : qkv_) value = static_cast<float>(random() % 1000) * 1e-3f - 0.5f;
    std::iota(blocks_.begin(), blocks_.end(), 0);
    std::shuffle(blocks_.begin(), blocks_.end(), random);
  }

  int64_t StorageBytes() const { return rows_ * row_blocks_ * kv_.BlockBytes(); }
  // Products of queries and keys, and of weights and values, without those that are masked.
  double Flops() const {
    const double pairs = double{1.0} * tokens_ * context_ + tokens_ * (tokens_ + 1) / 2.0;
    return rows_ * pairs * shape_.heads * shape_.head_dim * 4;
  }

  void Run() {
    plan_.Clear();
    for (int32_t row = 0; row < rows_; ++row) {
      plan_.Add({blocks_.data() + int64_t{row} * row_blocks_, row * tokens_, tokens_, context_});
    }
    plan_.Finish();
    AttentionLayer layer;
    layer.kv = {storage_.As<std::byte>() + next_layer_ * StorageBytes(), kv_.BlockBytes()};
    next_layer_ = (next_layer_ + 1) % layers_;
    layer.qkv = qkv_.data();
    layer.qkv_stride = QkvSize();
    layer.cosines = angles_.data();
    layer.sines = angles_.data();
    layer.out = out_.data();
    layer.out_stride = int64_t{shape_.heads} * shape_.head_dim;
    for (int64_t i = 0; i < plan_.stores(); ++i) plan_.Store(i, layer);
    for (int64_t i = 0; i < plan_.tasks(); ++i) plan_.Run(i, layer, scratch_.As<std::byte>());
  }

 private:
  int64_t QkvSize() const { return (shape_.heads + 2 * shape_.kv_heads) * shape_.head_dim; }

  const Shape shape_;
  const int32_t rows_, tokens_, context_;
  const KvShape kv_;
  const int64_t row_blocks_;
  const int64_t layers_;
  int64_t next_layer_ = 0;
  AlignedBuffer storage_;
  AttentionPlan plan_;
  AlignedBuffer scratch_;
  std::vector<float> qkv_, angles_, out_;
  std::vector<int32_t> blocks_;
};

// The thread's own time: a busy machine then disturbs less.
double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Options {
  std::string filter;
  double seconds = 0.3;
};

void Report(const Options& options, const Shape& shape, int32_t rows, int32_t tokens,
            int32_t context) {
  constexpr std::pair<const char*, KvType> kTypes[] = {
      {"f32", KvType::kF32}, {"bf16", KvType::kBf16}, {"int8", KvType::kInt8}};
  for (const auto& [type_name, type] : kTypes) {
    char name[80];
    std::snprintf(name, sizeof(name), "%s %-4s %-7s %2d x %3d tokens at %4d", shape.name, type_name,
                  tokens == 1 ? "decode" : "prefill", rows, tokens, context);
    if (std::string(name).find(options.filter) == std::string::npos) continue;
    Step step(shape, type, rows, tokens, context);
    std::vector<double> times;
    const double start = ThreadSeconds();
    do {
      const double begin = ThreadSeconds();
      step.Run();
      times.push_back(ThreadSeconds() - begin);
    } while (ThreadSeconds() - start < options.seconds || times.size() < 3);
    std::sort(times.begin(), times.end());
    std::printf("%s: best %9.1f us, median %9.1f us, %6.1f GFLOP/s, %5.1f GB/s  %s\n", name,
                times[0] * 1e6, times[times.size() / 2] * 1e6, step.Flops() / times[0] * 1e-9,
                static_cast<double>(step.StorageBytes()) / times[0] * 1e-9,
                AttentionPlan::Kernel(type).c_str());
  }
}

int Main(int argc, char** argv) {
  Options options;
  if (argc > 1) options.filter = argv[1];
  if (argc > 2) options.seconds = std::atof(argv[2]);
  for (const Shape& shape : {Shape{"S", 9, 3, 64}, Shape{"L", 32, 8, 64}}) {
    for (const int32_t context : {128, 1024, 8192}) {
      for (const int32_t rows : {1, 8, 32}) {
        Report(options, shape, rows, 1, context - 1);
      }
    }
    for (const int32_t context : {0, 512, 1536}) Report(options, shape, 1, 512, context);
  }
  return 0;
}

}  // namespace
}  // namespace hocket

int main(int argc, char** argv) { return hocket::Main(argc, argv); }
