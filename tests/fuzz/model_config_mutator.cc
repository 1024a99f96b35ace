// libFuzzer's hook for model_config_fuzz.cc: a byte of choices, then JSON.
#include "json_mutator.h"

namespace {

constexpr std::string_view kFragments[] = {
    R"(["LlamaForCausalLM"])",
    R"(["Qwen2ForCausalLM"])",
    R"(["MistralForCausalLM"])",
    R"({"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192})",
    R"({"type":"linear","factor":2.0})",
    R"({"rope_type":"default","rope_theta":500000.0})",
    R"([1,2,3])",
    R"(-1)",
    R"({"do_sample":true,"temperature":0.6,"top_p":0.9,"top_k":50,"eos_token_id":[1,2]})",
};

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  return hocket::fuzz::MutateJsonInput(data, size, max_size, 1, kFragments, seed);
}
