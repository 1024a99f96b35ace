// What docs/sampling.md says, in plain double precision and with full sorts: the yardstick for the
// vectorized stage. For tests.
#ifndef HOCKET_TESTS_RUNTIME_SAMPLING_REFERENCE_SAMPLER_H_
#define HOCKET_TESTS_RUNTIME_SAMPLING_REFERENCE_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "runtime/sampling/row_sampler.h"

namespace hocket {

// Token ids by falling logit, ties to the lower id.
std::vector<TokenId> FallingOrder(const std::vector<float>& logits);

// softmax(logits / temperature); +inf shares all the probability, -inf has none.
std::vector<double> Softmax(const std::vector<float>& logits, double temperature);

// How many of the tokens in falling order top-k and top-p keep. `slack` moves the threshold p.
size_t KeptCount(const std::vector<double>& probabilities, const std::vector<TokenId>& order,
                 const RowRequest& request, double slack);

// The distribution after the filters: of the first `kept` tokens of `order`.
std::vector<double> Renormalized(const std::vector<double>& probabilities,
                                 const std::vector<TokenId>& order, size_t kept);

// Whether `token` may be drawn by these bits: the running sum over rising ids passes
// random / 2^64 at it, up to `tolerance`.
bool DrawnBy(const std::vector<double>& probabilities, TokenId token, uint64_t random,
             double tolerance);

// A row of one of many kinds: normal, ties, one-hot, uniform, with infinities, wide, narrow.
std::vector<float> RandomLogits(std::mt19937_64& random, size_t vocabulary, std::string* kind);

}  // namespace hocket

#endif  // HOCKET_TESTS_RUNTIME_SAMPLING_REFERENCE_SAMPLER_H_
