// One way to load a small model and to run sequences through a Decoder, for the tests of this
// folder. A Line is one sequence with its own blocks; Step runs chunks of several lines at once.
#ifndef HOCKET_TESTS_RUNTIME_MODEL_DECODER_HARNESS_H_
#define HOCKET_TESTS_RUNTIME_MODEL_DECODER_HARNESS_H_

#include <memory>
#include <string>
#include <vector>

#include "runtime/model/decoder.h"

namespace hocket {

std::string FixtureFolder(const std::string& name);

RuntimeSettings SmallSettings(const std::string& folder, Precision precision, int32_t threads = 2);
// Aborts the test program when loading fails.
std::unique_ptr<Decoder> LoadDecoder(const RuntimeSettings& settings);

struct Reference {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;  // [tokens, vocabulary], f32.
  double bf16_mean_error = 0;   // Of transformers' own bf16 run.
  double bf16_worst_error = 0;
};
Reference LoadReference(const std::string& fixture);

// A sequence on its way through the decoder, and the logits of every token it has computed.
struct Line {
  std::vector<TokenId> tokens;
  std::vector<BlockId> blocks;
  int32_t done = 0;
  std::vector<float> logits;  // [done, vocabulary]
};

// Blocks first, first + stride, ... enough for `tokens`.
Line MakeLine(std::vector<TokenId> tokens, BlockId first_block, int32_t block_tokens = 16,
              int32_t stride = 1);

struct Chunk {
  Line* line;
  int32_t tokens;
};
// Runs the next `tokens` tokens of each chunk's line in one step and appends their logits.
void Step(Decoder& decoder, const std::vector<Chunk>& chunks,
          const std::vector<BlockCopy>& copies = {});
// Runs a line to its end in chunks of the given sizes, the last repeated.
void RunAlone(Decoder& decoder, Line& line, const std::vector<int32_t>& chunk_sizes);

std::vector<float> LogSoftmax(const std::vector<float>& logits, int32_t vocabulary);

// Pseudo-random token ids.
std::vector<TokenId> SomeTokens(int32_t count, int32_t vocabulary, uint32_t seed);

// Writes a random Llama model of SmolLM2-135M's layer shape with few layers; returns the folder.
std::string WriteMediumModel();

}  // namespace hocket

#endif  // HOCKET_TESTS_RUNTIME_MODEL_DECODER_HARNESS_H_
