#include "fake_model.h"

#include <algorithm>
#include <tuple>

namespace hocket {
namespace {

constexpr TokenId kVocabulary = 997;
constexpr TokenId kStopTokenStride = 41;  // Every token that this divides ends the text.
constexpr uint64_t kEmptyChain = 0x9e3779b97f4a7c15u;
constexpr size_t kRepeatedDistance = 11;

FakeAnswer AnswerOfChoice(const Request& request, int32_t choice, std::optional<FakeRoll> roll) {
  const GenerationSpec& spec = *request.spec;
  FakeAnswer answer;
  FakeLine line;
  line.roll = roll;
  for (const TokenId token : *request.prompt) line.Append(token);
  while (answer.tokens.size() < static_cast<size_t>(spec.stopping.max_new_tokens)) {
    const TokenId token = DrawToken(line, line.chain.back(), spec, choice);
    line.Append(token);
    answer.tokens.push_back(token);
    answer.text.push_back(LetterOf(token));
    if (const auto reason = FinishAfter(token, answer.tokens.size(), spec)) {
      answer.reason = *reason;
      break;
    }
  }
  return answer;
}

std::vector<FakeAnswer> AnswersOfBeams(const Request& request) {
  FakeBeam start;
  for (const TokenId token : *request.prompt) start.line.Append(token);
  std::vector<FakeBeam> beams(request.choices, start);
  std::optional<FinishReason> finish;
  while (!finish.has_value()) {
    finish = ExpandBeams(beams, request.prompt->size(), *request.spec).finish;
  }
  std::vector<FakeAnswer> answers;
  for (int32_t i = 0; i < request.spec->beam->returned; ++i) {
    const std::vector<TokenId>& tokens = beams[i].line.tokens;
    FakeAnswer& answer = answers.emplace_back();
    answer.tokens.assign(tokens.begin() + static_cast<ptrdiff_t>(request.prompt->size()),
                         tokens.end());
    for (const TokenId token : answer.tokens) answer.text.push_back(LetterOf(token));
    answer.reason = *finish;
  }
  return answers;
}

}  // namespace

uint64_t ExtendChain(uint64_t chain, TokenId token) {
  chain = ((chain == 0 ? kEmptyChain : chain) ^ static_cast<uint64_t>(token)) * 0xbf58476d1ce4e5b9u;
  return chain ^ (chain >> 29);
}

char LetterOf(TokenId token) { return static_cast<char>('a' + token % 26); }

void FakeLine::Append(TokenId token) {
  chain.push_back(ExtendChain(chain.empty() ? 0 : chain.back(), token));
  tokens.push_back(token);
  if (!roll.has_value() || static_cast<int32_t>(tokens.size()) < roll->context_tokens) return;
  const int32_t dropped = (roll->context_tokens - roll->kept_tokens) / 2;
  std::vector<TokenId> left(tokens.begin(), tokens.begin() + roll->kept_tokens);
  left.insert(left.end(), tokens.begin() + roll->kept_tokens + dropped, tokens.end());
  forgotten += dropped;
  tokens = std::move(left);
  chain.clear();
  for (const TokenId kept : tokens) {
    chain.push_back(ExtendChain(chain.empty() ? 0 : chain.back(), kept));
  }
}

TokenId DrawToken(const FakeLine& line, uint64_t cell, const GenerationSpec& spec, int32_t choice) {
  const auto place = static_cast<TokenId>(line.tokens.size()) + line.forgotten;
  const uint64_t key = ExtendChain(ExtendChain(cell ^ spec.sampling.seed, choice), place);
  if (spec.sampling.temperature == 0 && key % 8 != 0 && line.tokens.size() >= kRepeatedDistance) {
    return line.tokens[line.tokens.size() - kRepeatedDistance];
  }
  return static_cast<TokenId>(key % kVocabulary);
}

std::optional<FinishReason> FinishAfter(TokenId token, size_t generated,
                                        const GenerationSpec& spec) {
  if (token % kStopTokenStride == 0 && !spec.stopping.ignore_eos) return FinishReason::kStopToken;
  if (generated >= static_cast<size_t>(spec.stopping.max_new_tokens)) return FinishReason::kLength;
  return std::nullopt;
}

FakeBeamStep ExpandBeams(std::vector<FakeBeam>& beams, size_t prompt_tokens,
                         const GenerationSpec& spec) {
  struct Candidate {
    int64_t score;
    int32_t parent;
    TokenId token;
    bool operator<(const Candidate& other) const {
      return std::tuple(-score, parent, token) <
             std::tuple(-other.score, other.parent, other.token);
    }
    bool operator==(const Candidate&) const = default;
  };
  const int32_t width = static_cast<int32_t>(beams.size());
  const size_t generated = beams[0].line.tokens.size() - prompt_tokens + 1;
  std::vector<Candidate> candidates;
  // After the prompt all beams are equal, so one of them speaks for all.
  for (int32_t parent = 0; parent < (generated == 1 ? 1 : width); ++parent) {
    const uint64_t cell = beams[parent].line.chain.back() ^ spec.sampling.seed;
    for (int32_t branch = 0; branch < 2 * width; ++branch) {
      const uint64_t hash = ExtendChain(cell, branch);
      const auto token = static_cast<TokenId>((hash / 1000 + branch) % kVocabulary);
      const int64_t gain = static_cast<int64_t>(hash % 1000);
      candidates.push_back({beams[parent].score + gain, parent, token});
    }
  }
  std::sort(candidates.begin(), candidates.end());
  std::vector<FakeBeam> next;
  FakeBeamStep step;
  for (int32_t i = 0; i < width; ++i) {
    const Candidate& candidate = candidates[i];
    next.push_back(beams[candidate.parent]);
    next.back().score = candidate.score;
    next.back().line.Append(candidate.token);
    step.moves.push_back({.parent = candidate.parent, .token = candidate.token});
  }
  beams = std::move(next);
  step.finish = FinishAfter(step.moves[0].token, generated, spec);
  return step;
}

std::vector<FakeAnswer> OfflineAnswers(const Request& request, int32_t max_context_tokens) {
  if (request.beam && request.max_new_tokens > 0) return AnswersOfBeams(request);
  std::optional<FakeRoll> roll;
  if (request.roll_kept_tokens.has_value()) {
    roll = {.context_tokens = max_context_tokens, .kept_tokens = *request.roll_kept_tokens};
  }
  std::vector<FakeAnswer> answers;
  for (int32_t choice = 0; choice < request.choices; ++choice) {
    answers.push_back(AnswerOfChoice(request, choice, roll));
  }
  return answers;
}

FakeAnswer AnswerAfter(const FakeAnswer& whole, size_t resumed_tokens) {
  FakeAnswer rest = whole;
  rest.tokens.erase(rest.tokens.begin(),
                    rest.tokens.begin() + static_cast<ptrdiff_t>(resumed_tokens));
  // What was held back when the first run stopped comes from the second.
  rest.text.erase(0, resumed_tokens / kHeldLetters * kHeldLetters);
  return rest;
}

}  // namespace hocket
