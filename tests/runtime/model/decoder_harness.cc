#include "tests/runtime/model/decoder_harness.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "nlohmann/json.hpp"
#include "runtime/kernels/bf16.h"
#include "runtime/model/safetensors.h"

namespace hocket {
namespace {

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}

std::vector<float> FloatsOf(const SafetensorsFile& file, const char* name) {
  const TensorView* view = file.Find(name);
  if (view == nullptr) Die(std::string("the reference has no ") + name);
  std::vector<float> values(view->bytes.size() / sizeof(float));
  std::memcpy(values.data(), view->bytes.data(), view->bytes.size());
  return values;
}

}  // namespace

std::string FixtureFolder(const std::string& name) {
  return std::string(HOCKET_SOURCE_DIR) + "/tests/fixtures/models/" + name;
}

RuntimeSettings SmallSettings(const std::string& folder, Precision precision, int32_t threads) {
  RuntimeSettings settings;
  settings.model_dir = folder;
  settings.precision = precision;
  settings.threads = threads;
  settings.kv_cache_bytes = 16 << 20;
  settings.max_step_tokens = 192;
  settings.max_running_sequences = 8;
  return settings;
}

std::unique_ptr<Decoder> LoadDecoder(const RuntimeSettings& settings) {
  auto decoder = Decoder::Load(settings);
  if (!decoder.ok()) Die(decoder.status().ToString());
  return *std::move(decoder);
}

Reference LoadReference(const std::string& fixture) {
  const auto file = SafetensorsFile::Open(FixtureFolder(fixture) + "/reference.safetensors");
  if (!file.ok()) Die(file.status().ToString());
  Reference reference;
  const TensorView& tokens = *file->Find("tokens");
  reference.tokens.resize(tokens.bytes.size() / sizeof(TokenId));
  std::memcpy(reference.tokens.data(), tokens.bytes.data(), tokens.bytes.size());
  reference.logprobs = FloatsOf(*file, "f32");
  const std::vector<float> error = FloatsOf(*file, "bf16_error");
  reference.bf16_mean_error = error[0];
  reference.bf16_worst_error = error[1];
  return reference;
}

Line MakeLine(std::vector<TokenId> tokens, BlockId first_block, int32_t block_tokens,
              int32_t stride) {
  Line line;
  const int32_t blocks = (static_cast<int32_t>(tokens.size()) + block_tokens - 1) / block_tokens;
  for (int32_t i = 0; i < blocks; ++i) line.blocks.push_back(first_block + i * stride);
  line.tokens = std::move(tokens);
  return line;
}

void Step(Decoder& decoder, const std::vector<Chunk>& chunks,
          const std::vector<BlockCopy>& copies) {
  StepPlan plan;
  plan.copies = copies;
  std::vector<int32_t> outputs;
  for (const Chunk& chunk : chunks) {
    PlanRow row;
    row.first_position = chunk.line->done;
    row.token_begin = static_cast<int32_t>(plan.tokens.size());
    row.token_count = chunk.tokens;
    row.block_begin = static_cast<int32_t>(plan.blocks.size());
    row.block_count = static_cast<int32_t>(chunk.line->blocks.size());
    plan.rows.push_back(row);
    const auto first = chunk.line->tokens.begin() + chunk.line->done;
    plan.tokens.insert(plan.tokens.end(), first, first + chunk.tokens);
    plan.blocks.insert(plan.blocks.end(), chunk.line->blocks.begin(), chunk.line->blocks.end());
  }
  for (size_t i = 0; i < plan.tokens.size(); ++i) outputs.push_back(static_cast<int32_t>(i));
  const auto hidden = decoder.Forward(plan, outputs);
  if (!hidden.ok()) Die(hidden.status().ToString());
  const int64_t vocabulary = decoder.info().vocabulary_size;
  std::vector<float> logits(outputs.size() * vocabulary);
  const auto status =
      decoder.Logits(*hidden, static_cast<int32_t>(outputs.size()), std::span<float>(logits));
  if (!status.ok()) Die(status.ToString());
  auto from = logits.begin();
  for (const Chunk& chunk : chunks) {
    chunk.line->logits.insert(chunk.line->logits.end(), from, from + chunk.tokens * vocabulary);
    from += chunk.tokens * vocabulary;
    chunk.line->done += chunk.tokens;
  }
}

void RunAlone(Decoder& decoder, Line& line, const std::vector<int32_t>& chunk_sizes) {
  for (size_t i = 0; line.done < static_cast<int32_t>(line.tokens.size()); ++i) {
    const int32_t size = chunk_sizes[std::min(i, chunk_sizes.size() - 1)];
    const int32_t left = static_cast<int32_t>(line.tokens.size()) - line.done;
    Step(decoder, {{&line, std::min(size, left)}});
  }
}

std::vector<float> LogSoftmax(const std::vector<float>& logits, int32_t vocabulary) {
  std::vector<float> logprobs(logits.size());
  for (size_t row = 0; row < logits.size(); row += vocabulary) {
    const float largest = *std::max_element(&logits[row], &logits[row] + vocabulary);
    double sum = 0;
    for (int32_t i = 0; i < vocabulary; ++i) sum += std::exp(double{logits[row + i]} - largest);
    const double shift = largest + std::log(sum);
    for (int32_t i = 0; i < vocabulary; ++i) {
      logprobs[row + i] = static_cast<float>(logits[row + i] - shift);
    }
  }
  return logprobs;
}

std::vector<TokenId> SomeTokens(int32_t count, int32_t vocabulary, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens) token = static_cast<TokenId>(random() % vocabulary);
  return tokens;
}

std::string WriteMediumModel() {
  const int64_t hidden = 576, inner = 1536, vocabulary = 2001, kv = 192, layers = 2;
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("hocket-medium-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const nlohmann::json config = {{"architectures", {"LlamaForCausalLM"}},
                                 {"hidden_size", hidden},
                                 {"intermediate_size", inner},
                                 {"num_hidden_layers", layers},
                                 {"num_attention_heads", 9},
                                 {"num_key_value_heads", 3},
                                 {"vocab_size", vocabulary},
                                 {"max_position_embeddings", 1024},
                                 {"tie_word_embeddings", true}};
  std::ofstream(folder / "config.json") << config.dump();

  std::vector<std::pair<std::string, std::vector<int64_t>>> tensors = {
      {"model.embed_tokens.weight", {vocabulary, hidden}}, {"model.norm.weight", {hidden}}};
  for (int64_t i = 0; i < layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    tensors.insert(tensors.end(), {{prefix + "input_layernorm.weight", {hidden}},
                                   {prefix + "post_attention_layernorm.weight", {hidden}},
                                   {prefix + "self_attn.q_proj.weight", {hidden, hidden}},
                                   {prefix + "self_attn.k_proj.weight", {kv, hidden}},
                                   {prefix + "self_attn.v_proj.weight", {kv, hidden}},
                                   {prefix + "self_attn.o_proj.weight", {hidden, hidden}},
                                   {prefix + "mlp.gate_proj.weight", {inner, hidden}},
                                   {prefix + "mlp.up_proj.weight", {inner, hidden}},
                                   {prefix + "mlp.down_proj.weight", {hidden, inner}}});
  }
  nlohmann::json header;
  int64_t offset = 0;
  for (const auto& [name, shape] : tensors) {
    const int64_t bytes = 2 * shape[0] * (shape.size() > 1 ? shape[1] : 1);
    header[name] = {
        {"dtype", "BF16"}, {"shape", shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::ofstream file(folder / "model.safetensors", std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof(length));
  file << text;
  std::mt19937 random(7);
  for (const auto& [name, shape] : tensors) {
    const bool vector = shape.size() == 1;
    const float scale = vector ? 0.2f : 2.0f / std::sqrt(static_cast<float>(shape[1]));
    std::vector<Bf16> values(shape[0] * (vector ? 1 : shape[1]));
    for (Bf16& value : values) {
      const float noise = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
      value = ToBf16((vector ? 1.0f : 0.0f) + scale * noise);
    }
    file.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size() * sizeof(Bf16)));
  }
  return folder.string();
}

}  // namespace hocket
