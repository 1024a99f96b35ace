// What loading makes of a checkpoint: every matrix holds its tensors' rows, in any precision, and
// the weight cache changes nothing but the time that it takes.
#include "runtime/model/model_weights.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "runtime/kernels/quantized_matrix.h"
#include "runtime/model/content_hash.h"
#include "tests/runtime/model/decoder_harness.h"

namespace hocket {
namespace {

namespace fs = std::filesystem;

constexpr Precision kAllPrecisions[] = {Precision::kF32, Precision::kBf16, Precision::kInt8,
                                        Precision::kInt4, Precision::kInt4G128};

WeightSettings Uncached(Precision precision) {
  WeightSettings settings;
  settings.precision = precision;
  settings.weight_cache = "off";
  return settings;
}

// A model folder's weights, with what they look into.
struct Loaded {
  ArchitectureSpec spec;
  Checkpoint checkpoint;
  absl::StatusOr<ModelWeights> weights;
  std::vector<std::string> notices;

  bool Noticed(const std::string& text) const {
    return std::any_of(notices.begin(), notices.end(),
                       [&](const std::string& notice) { return absl::StrContains(notice, text); });
  }
};

std::unique_ptr<Loaded> Load(const std::string& folder, WeightSettings settings,
                             int32_t threads = 2) {
  auto loaded = std::make_unique<Loaded>();
  const auto text = ReadTextFile(folder + "/config.json");
  EXPECT_TRUE(text.ok()) << text.status();
  auto spec = ParseArchitecture(*text, folder);
  EXPECT_TRUE(spec.ok()) << spec.status();
  loaded->spec = *std::move(spec);
  auto checkpoint = Checkpoint::Open(folder);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  loaded->checkpoint = *std::move(checkpoint);
  settings.model_dir = folder;
  settings.notice = [&](std::string_view line) { loaded->notices.emplace_back(line); };
  Team team(threads);
  loaded->weights = LoadModelWeights(loaded->spec, loaded->checkpoint, team, settings);
  return loaded;
}

// y [columns] of one row of inputs.
std::vector<float> Product(const WeightMatrix& matrix, const std::vector<float>& x) {
  const RowFormat format = matrix.input_format();
  const int64_t stride = InputRowBytes(format, matrix.shape().inputs);
  // oneDNN reads and computes rows in fours.
  const auto input = AlignedBuffer::Allocate(4 * stride, "a row");
  const auto scratch = AlignedBuffer::Allocate(matrix.scratch_bytes() + 64, "scratch");
  float scales[4] = {};
  const InputRows rows = {format, input->As<std::byte>(), stride, scales};
  StoreInputRow(x.data(), matrix.shape().inputs, 0, rows);
  std::vector<float> y(matrix.columns());
  const absl::Status status =
      matrix.Multiply(rows, {0, 1}, {0, matrix.units()},
                      {y.data(), matrix.columns(), nullptr, false}, scratch->As<std::byte>());
  EXPECT_TRUE(status.ok()) << status;
  return y;
}

std::vector<float> SomeInputs(int64_t count, uint32_t seed) {
  std::vector<float> x(count);
  for (size_t i = 0; i < x.size(); ++i) {
    seed = seed * 1664525u + 1013904223u;
    x[i] = static_cast<float>(static_cast<int32_t>(seed)) * 0x1p-31f;
  }
  return x;
}

std::vector<const WeightMatrix*> AllMatrices(const ModelWeights& weights) {
  std::vector<const WeightMatrix*> all;
  for (const LayerWeights& layer : weights.layers) {
    for (const auto* matrix : {&layer.qkv, &layer.attention_output, &layer.gate_up, &layer.down}) {
      all.push_back(matrix->get());
    }
  }
  all.push_back(weights.head.get());
  return all;
}

void ExpectTheSameProducts(const ModelWeights& a, const ModelWeights& b) {
  const auto matrices = AllMatrices(a), others = AllMatrices(b);
  ASSERT_EQ(matrices.size(), others.size());
  for (size_t i = 0; i < matrices.size(); ++i) {
    const std::vector<float> x = SomeInputs(matrices[i]->shape().inputs, 1);
    EXPECT_EQ(Product(*matrices[i], x), Product(*others[i], x)) << "matrix " << i;
  }
}

// Elements of the named tensors' rows, one after another.
std::vector<float> Rows(const Loaded& loaded, const std::vector<std::string>& names) {
  std::vector<float> all;
  for (const std::string& name : names) {
    for (const SafetensorsFile& file : loaded.checkpoint.files()) {
      const TensorView* const view = file.Find(name);
      if (view == nullptr) continue;
      const size_t before = all.size();
      all.resize(before + view->Elements());
      ConvertElements(*view, 0, view->Elements(), all.data() + before);
    }
  }
  return all;
}

// How far from the checkpoint's an element may be, as a part of its matrix's largest.
float Tolerance(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      return 1e-6f;
    case Precision::kBf16:
      return 0x1p-8f;
    case Precision::kInt8:
      return 1.05f / 254;
    default:
      return 0.2f;
  }
}

// Rows of ones select the matrix's columns of weights one by one.
void ExpectWeights(const WeightMatrix& matrix, const std::vector<float>& expected,
                   Precision precision, const std::string& what) {
  const int64_t inputs = matrix.shape().inputs, outputs = matrix.shape().outputs;
  ASSERT_EQ(expected.size(), static_cast<size_t>(inputs * outputs)) << what;
  float largest = 0;
  for (const float value : expected) largest = std::max(largest, std::abs(value));
  const float tolerance = Tolerance(precision) * largest;
  for (int64_t k = 0; k < inputs; k += 7) {
    std::vector<float> x(inputs);
    x[k] = 1;
    const std::vector<float> y = Product(matrix, x);
    for (int64_t n = 0; n < matrix.columns(); ++n) {
      const float weight = expected[n * inputs + k];
      if (!matrix.shape().gated) {
        EXPECT_NEAR(y[n], weight, tolerance) << what << " output " << n << " input " << k;
        continue;
      }
      const float up = expected[(outputs / 2 + n) * inputs + k];
      const float silu = weight / (1 + std::exp(-weight));
      const float both = std::abs(silu) + std::abs(up) + tolerance;
      EXPECT_NEAR(y[n], silu * up, tolerance * both) << what << " output " << n << " input " << k;
    }
  }
}

class EveryModel : public testing::TestWithParam<std::tuple<const char*, Precision>> {};

TEST_P(EveryModel, MatricesHoldTheirTensorsRows) {
  const auto [fixture, precision] = GetParam();
  const auto loaded = Load(FixtureFolder(fixture), Uncached(precision));
  ASSERT_TRUE(loaded->weights.ok()) << loaded->weights.status();
  const ModelWeights& weights = *loaded->weights;
  ASSERT_EQ(weights.layers.size(), static_cast<size_t>(loaded->spec.layers));
  for (int32_t i = 0; i < loaded->spec.layers; ++i) {
    const std::string prefix = absl::StrCat("model.layers.", i, ".");
    const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
    const LayerWeights& layer = weights.layers[i];
    const auto expect = [&](const WeightMatrix& matrix, std::vector<std::string> names) {
      for (std::string& name : names) name += ".weight";
      ExpectWeights(matrix, Rows(*loaded, names), precision, names[0]);
    };
    expect(*layer.qkv, {attention + "q_proj", attention + "k_proj", attention + "v_proj"});
    expect(*layer.attention_output, {attention + "o_proj"});
    EXPECT_TRUE(layer.gate_up->shape().gated);
    expect(*layer.gate_up, {mlp + "gate_proj", mlp + "up_proj"});
    expect(*layer.down, {mlp + "down_proj"});
    EXPECT_EQ(layer.qkv_bias.size(), loaded->spec.qkv_bias ? loaded->spec.QkvSize() : 0u);
    EXPECT_EQ(layer.gate_up_bias.size(),
              loaded->spec.mlp_bias ? 2 * loaded->spec.intermediate_size : 0u);
  }
  const Precision head = IsQuantized(precision) ? Precision::kInt8 : precision;
  ExpectWeights(
      *weights.head,
      Rows(*loaded, {loaded->spec.tied_head ? "model.embed_tokens.weight" : "lm_head.weight"}),
      head, "head");
}

std::string CaseName(const testing::TestParamInfo<EveryModel::ParamType>& info) {
  std::string name = absl::StrCat(std::get<0>(info.param), "_",
                                  std::string(PrecisionName(std::get<1>(info.param))));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, EveryModel,
                         testing::Combine(testing::Values("llama-gqa", "llama-mha-bias",
                                                          "llama-mqa-sharded", "qwen2"),
                                          testing::ValuesIn(kAllPrecisions)),
                         CaseName);

TEST(ModelWeights, NormsAndBiasesAreRoundedWithBf16WeightsOnly) {
  const std::string folder = FixtureFolder("llama-mha-bias");
  for (const Precision precision : kAllPrecisions) {
    const auto loaded = Load(folder, Uncached(precision));
    ASSERT_TRUE(loaded->weights.ok()) << loaded->weights.status();
    std::vector<float> norm = Rows(*loaded, {"model.norm.weight"});
    std::vector<float> bias = Rows(*loaded, {"model.layers.1.mlp.down_proj.bias"});
    if (precision == Precision::kBf16) {
      for (float& value : norm) value = ToF32(ToBf16(value));
      for (float& value : bias) value = ToF32(ToBf16(value));
    }
    EXPECT_EQ(loaded->weights->final_norm, norm) << PrecisionName(precision);
    EXPECT_EQ(loaded->weights->layers[1].down_bias, bias) << PrecisionName(precision);
  }
}

TEST(ModelWeights, TheNumberOfThreadsDoesNotChangeThem) {
  for (const Precision precision : kAllPrecisions) {
    const WeightSettings settings = Uncached(precision);
    const auto one = Load(FixtureFolder("llama-gqa"), settings, 1);
    const auto three = Load(FixtureFolder("llama-gqa"), settings, 3);
    ASSERT_TRUE(one->weights.ok() && three->weights.ok());
    ExpectTheSameProducts(*one->weights, *three->weights);
  }
}

TEST(ModelWeights, AHeadMayHaveAPrecisionOfItsOwn) {
  const std::string folder = FixtureFolder("llama-gqa");
  for (const Precision head : {Precision::kBf16, Precision::kF32, Precision::kInt4}) {
    WeightSettings settings = Uncached(Precision::kInt4);
    settings.head_precision = head;
    const auto loaded = Load(folder, settings);
    ASSERT_TRUE(loaded->weights.ok()) << loaded->weights.status();
    EXPECT_EQ(loaded->weights->layers[0].qkv->input_format(), RowFormat::kInt8);
    ExpectWeights(
        *loaded->weights->head,
        Rows(*loaded, {loaded->spec.tied_head ? "model.embed_tokens.weight" : "lm_head.weight"}),
        head, "head");
  }
}

TEST(ModelWeights, AMissingTensorIsNamedBeforeAnythingIsRead) {
  auto loaded = Load(FixtureFolder("llama-gqa"), Uncached(Precision::kInt8));
  loaded->spec.layers += 1;
  Team team(1);
  bool progressed = false;
  WeightSettings settings = Uncached(Precision::kInt8);
  settings.progress = [&](std::string_view, double) { progressed = true; };
  const absl::Status status =
      LoadModelWeights(loaded->spec, loaded->checkpoint, team, settings).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat("layers.", loaded->spec.layers - 1)))
      << status;
  EXPECT_FALSE(progressed);
}

TEST(ModelWeights, WeightsLargerThanTheMemoryAreRefusedWithTheNumbers) {
  for (const Precision precision : kAllPrecisions) {
    WeightSettings settings = Uncached(precision);
    settings.memory_bytes = 1000;
    const auto loaded = Load(FixtureFolder("llama-gqa"), settings);
    const absl::Status status = loaded->weights.status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_TRUE(absl::StrContains(status.message(), "only 1000 bytes of memory are left"))
        << status;
  }
}

TEST(ModelWeights, ProgressOnlyGrowsAndEndsAtOne) {
  for (const Precision precision : kAllPrecisions) {
    double last = 0;
    WeightSettings settings = Uncached(precision);
    settings.progress = [&](std::string_view, double fraction) {
      EXPECT_GE(fraction, last);
      last = fraction;
    };
    const auto loaded = Load(FixtureFolder("llama-gqa"), settings);
    EXPECT_EQ(last, 1.0);
  }
}

class CachedWeightsTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("hocket-cached-weights-" + std::to_string(getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
    model_ = (root_ / "model").string();
    fs::copy(FixtureFolder("llama-gqa"), model_);
    cache_ = (root_ / "cache").string();
  }
  void TearDown() override { fs::remove_all(root_); }

  std::unique_ptr<Loaded> LoadCached(Precision precision = Precision::kInt8) const {
    WeightSettings settings = Uncached(precision);
    settings.weight_cache = cache_;
    auto loaded = Load(model_, settings);
    EXPECT_TRUE(loaded->weights.ok()) << loaded->weights.status();
    return loaded;
  }
  std::unique_ptr<Loaded> LoadUncached(Precision precision = Precision::kInt8) const {
    auto loaded = Load(model_, Uncached(precision));
    EXPECT_TRUE(loaded->weights.ok()) << loaded->weights.status();
    return loaded;
  }
  // Changes the bytes of a tensor of the model's.
  template <class F>
  void Change(const char* tensor, F&& change) const {
    const std::string path = model_ + "/model.safetensors";
    std::string bytes;
    {
      const auto checkpoint = Checkpoint::Open(model_);
      const TensorView& view = *checkpoint->files()[0].Find(tensor);
      const auto file = MappedFile::Open(path);
      bytes.assign(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
      const size_t size = view.bytes.size();
      const size_t at = bytes.find({reinterpret_cast<const char*>(view.bytes.data()), size});
      ASSERT_NE(at, std::string::npos);
      change(bytes.begin() + at, bytes.begin() + at + size);
    }
    std::ofstream(model_ + "/new", std::ios::binary) << bytes;
    fs::rename(model_ + "/new", path);
  }
  std::vector<fs::path> CacheFiles() const {
    std::vector<fs::path> files;
    if (!fs::exists(cache_)) return files;
    for (const auto& entry : fs::directory_iterator(cache_)) files.push_back(entry.path());
    return files;
  }

  fs::path root_;
  std::string model_;
  std::string cache_;
};

TEST_F(CachedWeightsTest, TheSecondStartMapsTheSameWeights) {
  for (const Precision precision : {Precision::kInt8, Precision::kInt4, Precision::kInt4G128}) {
    const auto first = LoadCached(precision);
    EXPECT_FALSE(first->weights->mapped);
    EXPECT_TRUE(first->Noticed("weight cache written to"));
    const auto second = LoadCached(precision);
    EXPECT_TRUE(second->weights->mapped);
    EXPECT_TRUE(second->Noticed("weights mapped from"));
    EXPECT_EQ(first->weights->bytes, second->weights->bytes);
    EXPECT_EQ(first->weights->parameters, second->weights->parameters);
    ExpectTheSameProducts(*first->weights, *LoadUncached(precision)->weights);
    ExpectTheSameProducts(*second->weights, *first->weights);
  }
  EXPECT_EQ(CacheFiles().size(), 3u);
}

TEST_F(CachedWeightsTest, FloatWeightsAreNotCached) {
  LoadCached(Precision::kBf16);
  LoadCached(Precision::kF32);
  EXPECT_TRUE(CacheFiles().empty());
}

TEST_F(CachedWeightsTest, ASmallModelGetsNoFileOfItsOwnAccord) {
  const auto files = [this] {
    return std::distance(fs::directory_iterator(model_), fs::directory_iterator());
  };
  const auto before = files();
  WeightSettings settings = Uncached(Precision::kInt8);
  settings.weight_cache = "auto";
  const auto loaded = Load(model_, settings);
  ASSERT_TRUE(loaded->weights.ok());
  EXPECT_EQ(files(), before);
}

TEST_F(CachedWeightsTest, AChangedCheckpointIsQuantizedAnew) {
  LoadCached();
  const auto time = fs::last_write_time(model_ + "/model.safetensors");
  // Another model of the same shape under the same time: the sampled page differs.
  Change("model.layers.0.self_attn.q_proj.weight",
         [](auto begin, auto end) { std::rotate(begin, begin + 64, end); });
  fs::last_write_time(model_ + "/model.safetensors", time);
  const auto changed = LoadCached();
  EXPECT_FALSE(changed->weights->mapped);
  ExpectTheSameProducts(*changed->weights, *LoadUncached()->weights);
  EXPECT_TRUE(LoadCached()->weights->mapped);
}

TEST_F(CachedWeightsTest, ATensorWithANanOrAnInfinityIsNamedRatherThanRounded) {
  constexpr char kTensor[] = "model.layers.1.mlp.up_proj.weight";
  std::string whole;
  Change(kTensor, [&](auto begin, auto end) { whole.assign(begin, end); });
  for (const char* value : {"\xff\xff\xff\x7f", "\x80\x7f\x80\x7f", "\x80\xff\x80\xff"}) {
    Change(kTensor, [&](auto begin, auto end) {
      std::copy_n(value, 4, std::copy(whole.begin(), whole.end(), begin) - (end - begin) / 2);
    });
    for (const Precision precision : {Precision::kInt8, Precision::kInt4}) {
      const auto loaded = Load(model_, Uncached(precision));
      EXPECT_TRUE(absl::IsInvalidArgument(loaded->weights.status()));
      EXPECT_TRUE(absl::StrContains(loaded->weights.status().message(), kTensor))
          << loaded->weights.status();
    }
  }
}

TEST_F(CachedWeightsTest, ADamagedFileIsMadeAgain) {
  LoadCached();
  const fs::path path = CacheFiles().at(0);
  const auto size = static_cast<int64_t>(fs::file_size(path));
  for (const int64_t offset : {int64_t{0}, int64_t{100}, size / 2, size - 1}) {
    {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(offset);
      file.put('\x5a').put('\xa5');
    }
    fs::resize_file(path, size);
    const auto loaded = LoadCached();
    EXPECT_FALSE(loaded->weights->mapped) << offset;
    EXPECT_TRUE(loaded->Noticed("weight cache not used: ")) << offset;
    ExpectTheSameProducts(*loaded->weights, *LoadUncached()->weights);
    EXPECT_TRUE(LoadCached()->weights->mapped) << offset;
  }
}

TEST_F(CachedWeightsTest, AFolderThatCannotBeWrittenCostsALineOnly) {
  cache_ = "/proc/no-folder-is-made-here";
  const auto loaded = LoadCached();
  EXPECT_FALSE(loaded->weights->mapped);
  EXPECT_TRUE(loaded->Noticed("weight cache not written: /proc/no-folder-is-made-here"));
  ExpectTheSameProducts(*loaded->weights, *LoadUncached()->weights);
}

TEST_F(CachedWeightsTest, StartsAtTheSameTimeAreAllRight) {
  const auto expected = LoadUncached();
  std::vector<std::unique_ptr<Loaded>> loaded(4);
  std::vector<std::thread> starts;
  for (auto& one : loaded) {
    starts.emplace_back([&] { one = LoadCached(); });
  }
  for (std::thread& start : starts) start.join();
  for (const auto& one : loaded) ExpectTheSameProducts(*one->weights, *expected->weights);
  EXPECT_EQ(CacheFiles().size(), 1u);
  EXPECT_TRUE(LoadCached()->weights->mapped);
}

// A cache file outlives the program that wrote it. When this fails because the packed form was
// changed on purpose, raise kPackedLayoutVersion in model_weights.cc, and then these.
TEST(PackedLayout, ChangesOnlyWithItsVersion) {
  const auto hash = [](MatrixShape shape, QuantizedFormat format) {
    const auto packed = AlignedBuffer::Allocate(QuantizedMatrix::PackedBytes(shape, format), "");
    const auto scratch = AlignedBuffer::Allocate(QuantizedMatrix::PackScratchBytes(shape), "");
    for (int64_t unit = 0; unit < QuantizedMatrix::Units(shape); ++unit) {
      QuantizedMatrix::PackUnit(
          shape, format, unit,
          [&](int64_t output, float* row) {
            const std::vector<float> x = SomeInputs(shape.inputs, static_cast<uint32_t>(output));
            std::copy(x.begin(), x.end(), row);
          },
          packed->As<std::byte>(), scratch->As<std::byte>());
    }
    return HashBytes({packed->As<std::byte>(), static_cast<size_t>(packed->bytes())});
  };
  const MatrixShape plain = {200, 72, false}, gated = {200, 144, true};
  EXPECT_EQ(hash(plain, {QuantizedFormat::Kind::kInt8, 0}), 2700932452092825346u);
  EXPECT_EQ(hash(gated, {QuantizedFormat::Kind::kInt8, 0}), 4687591771256880454u);
  EXPECT_EQ(hash(plain, {QuantizedFormat::Kind::kInt4, 32}), 2861496325550657376u);
  EXPECT_EQ(hash(gated, {QuantizedFormat::Kind::kInt4, 128}), 983194242440393080u);
}

}  // namespace
}  // namespace hocket
