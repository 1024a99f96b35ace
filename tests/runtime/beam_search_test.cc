// The rules of beam search, against a slow reference where the model is a random table.
#include "runtime/beam_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>

#include "runtime/beam_tree.h"
#include "tests/runtime/reference_beams.h"

namespace hocket {
namespace {

using EarlyStopping = BeamSettings::EarlyStopping;
using Tokens = std::vector<TokenId>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Log-probabilities of the next token, by the last two.
struct ToyModel {
  int32_t vocabulary = 0;
  std::map<std::pair<TokenId, TokenId>, std::vector<float>> table;

  ToyModel(int32_t size, bool coarse, double impossible, std::mt19937_64& random)
      : vocabulary(size) {
    std::normal_distribution<double> normal(0, 1.5);
    for (TokenId a = -1; a < size; ++a) {
      for (TokenId b = -1; b < size; ++b) table[{a, b}] = Row(coarse, impossible, normal, random);
    }
  }
  std::vector<float> Row(bool coarse, double impossible, std::normal_distribution<double>& normal,
                         std::mt19937_64& random) const {
    std::vector<double> logits(vocabulary);
    double sum = 0;
    for (double& logit : logits) sum += std::exp(logit = normal(random));
    std::vector<float> row;
    for (const double logit : logits) {
      const double logprob = logit - std::log(sum);
      // Coarse ones tie often.
      row.push_back(static_cast<float>(coarse ? std::floor(4 * logprob) / 4 : logprob));
      if (std::uniform_real_distribution<>()(random) < impossible) row.back() = -kInfinity;
    }
    return row;
  }
  const std::vector<float>& After(const Tokens& tokens) const {
    const auto last = [&](size_t i) { return i <= tokens.size() ? tokens[tokens.size() - i] : -1; };
    return table.at({last(2), last(1)});
  }
};

using Line = BeamLine;

std::vector<TokenLogprob> Likeliest(const std::vector<float>& row, size_t count) {
  std::vector<TokenLogprob> all;
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i] > -kInfinity) all.push_back({static_cast<TokenId>(i), row[i]});
  }
  std::stable_sort(all.begin(), all.end(), [](const TokenLogprob& a, const TokenLogprob& b) {
    return a.logprob > b.logprob;
  });
  if (all.size() > count) all.resize(count);
  return all;
}

// Drives a BeamSearch with the model, its slots' tokens moved as it says.
class Driven {
 public:
  explicit Driven(const BeamTask& task)
      : task_(task),
        search_(task.settings, task.stop_tokens, task.max_new_tokens),
        tokens_(task.settings.width) {}

  bool over() const { return search_.over(); }

  void Step() {
    ++steps_;
    std::vector<std::vector<TokenLogprob>> likeliest(tokens_.size());
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (!search_.Wants(static_cast<int32_t>(i))) continue;
      likeliest[i] = Likeliest(task_.next(tokens_[i]), search_.tokens_per_beam());
    }
    std::vector<double> totals;
    search_.Advance(likeliest, [&](int32_t rank, const BeamSearch::Candidate& candidate) {
      EXPECT_EQ(static_cast<size_t>(rank), totals.size()) << "asked out of order";
      totals.push_back(candidate.total_logprob);
      Tokens line = tokens_[candidate.slot];
      line.push_back(candidate.token);
      const bool ends = task_.ends(line);
      if (ends) ended_[{steps_, rank}] = std::move(line);
      return ends;
    });
    Move(totals);
  }

  std::vector<Line> Finished() const {
    std::vector<Line> lines;
    for (const BeamSearch::Finished& one : search_.finished()) {
      lines.push_back({ended_.at({one.step, one.rank}), one.total_logprob, one.score});
    }
    return lines;
  }
  std::vector<Line> Running() const {
    std::vector<Line> lines;
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (search_.slots()[i].runs) lines.push_back({tokens_[i], totals_[i]});
    }
    return lines;
  }

 private:
  void Move(const std::vector<double>& totals) {
    const std::vector<Tokens> before = tokens_;
    totals_.assign(tokens_.size(), 0);
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const BeamSearch::Slot& slot = search_.slots()[i];
      tokens_[i] = before[slot.parent];
      tokens_[i].push_back(slot.token);
      if (!slot.runs) continue;
      totals_[i] = totals.at(slot.rank);
      if (steps_ > 1) {
        EXPECT_EQ(search_.slots()[slot.parent].parent, slot.parent) << "a beam was copied in vain";
      }
    }
  }

  const BeamTask& task_;
  BeamSearch search_;
  std::vector<Tokens> tokens_;  // [width]
  int32_t steps_ = 0;
  std::vector<double> totals_;
  std::map<std::pair<int32_t, int32_t>, Tokens> ended_;  // By step and rank.
};

std::multiset<std::pair<Tokens, double>> AsSet(const std::vector<Line>& lines) {
  std::multiset<std::pair<Tokens, double>> set;
  for (const Line& line : lines) set.insert({line.tokens, line.logprob});
  return set;
}

void ExpectAsReference(const BeamTask& task) {
  const ReferenceBeams expected = FindBeams(task);
  Driven driven(task);
  for (const std::vector<Line>& running : expected.running) {
    ASSERT_FALSE(driven.over());
    driven.Step();
    if (running.empty()) break;
    ASSERT_EQ(AsSet(driven.Running()), AsSet(running));
  }
  ASSERT_TRUE(driven.over());
  const std::vector<Line> finished = driven.Finished();
  ASSERT_EQ(finished.size(), expected.finished.size());
  for (size_t i = 0; i < finished.size(); ++i) {
    ASSERT_EQ(finished[i].tokens, expected.finished[i].tokens) << "candidate " << i;
    ASSERT_EQ(finished[i].logprob, expected.finished[i].logprob);
    ASSERT_DOUBLE_EQ(finished[i].score, expected.finished[i].score);
  }
}

TEST(BeamSearch, FindsWhatTheReferenceFindsWithAnySettings) {
  constexpr uint64_t kSeed = 20261121;
  constexpr EarlyStopping kStops[] = {EarlyStopping::kNever, EarlyStopping::kHeuristic,
                                      EarlyStopping::kAlways};
  constexpr float kPenalties[] = {-2, -0.5f, 0, 0.6f, 1, 1.7f, 4};
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 1500; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << kSeed << ", round " << round);
    BeamTask task;
    task.settings.width = 2 + static_cast<int32_t>(random() % 7);
    task.settings.early_stopping = kStops[random() % 3];
    task.settings.length_penalty = kPenalties[random() % 7];
    task.max_new_tokens = 1 + static_cast<int32_t>(random() % 14);
    const auto vocabulary = static_cast<int32_t>(3 + random() % 20);
    const double impossible = round % 5 == 0 ? 0.6 : 0;
    const ToyModel model(vocabulary, round % 3 == 0, impossible, random);
    const size_t stops = std::min<size_t>(random() % 5, vocabulary - 1);
    const auto any = [&] { return static_cast<TokenId>(random() % vocabulary); };
    std::set<TokenId> stop_tokens;
    while (stop_tokens.size() < stops) stop_tokens.insert(any());
    std::set<std::pair<TokenId, TokenId>> stop_pairs;  // They end a text as stop strings do.
    for (int pair = 0; stops < 2 && pair < round % 4 * 5; ++pair) stop_pairs.insert({any(), any()});
    task.stop_tokens = static_cast<int32_t>(stops);
    task.next = [&](const Tokens& tokens) { return model.After(tokens); };
    task.ends = [&](const Tokens& tokens) {
      const size_t n = tokens.size();
      return stop_tokens.contains(tokens[n - 1]) || n >= static_cast<size_t>(task.max_new_tokens) ||
             (n >= 2 && stop_pairs.contains({tokens[n - 2], tokens[n - 1]}));
    };
    ExpectAsReference(task);
    if (HasFatalFailure()) return;
  }
}

std::vector<std::vector<TokenLogprob>> Rows(std::vector<std::vector<float>> logprobs) {
  std::vector<std::vector<TokenLogprob>> rows;
  for (const std::vector<float>& row : logprobs) rows.push_back(Likeliest(row, row.size()));
  return rows;
}

constexpr auto kNeverEnds = [](int32_t, const BeamSearch::Candidate&) { return false; };

TEST(BeamSearch, StartsFromTheFirstSlotOnlyAndCopiesNothingThen) {
  BeamSearch search({.width = 3}, 1, 10);
  EXPECT_TRUE(search.Wants(0));
  EXPECT_FALSE(search.Wants(1));
  search.Advance(Rows({{-1, -3, -2, -4}, {}, {}}), kNeverEnds);
  const TokenId expected[] = {0, 2, 1};
  for (int32_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(search.slots()[i].runs && search.Wants(i));
    EXPECT_EQ(search.slots()[i].parent, i);
    EXPECT_EQ(search.slots()[i].token, expected[i]);
  }
}

TEST(BeamSearch, TheFirstChildKeepsItsBeamsSlotAndOthersTakeFreeOnes) {
  BeamSearch search({.width = 3}, 0, 10);
  search.Advance(Rows({{-1, -1.1f, -1.2f}, {}, {}}), kNeverEnds);
  // The second beam has the best two children, the first one the third.
  search.Advance(Rows({{-2, -9, -9}, {-0.1f, -0.2f, -9}, {-9, -9, -9}}), kNeverEnds);
  EXPECT_EQ(search.slots()[1].parent, 1);
  EXPECT_EQ(search.slots()[1].token, 0);
  EXPECT_EQ(search.slots()[0].parent, 0);
  EXPECT_EQ(search.slots()[2].parent, 1);
  EXPECT_EQ(search.slots()[2].token, 1);
}

TEST(BeamSearch, TiesGoToTheBetterBeamThenToTheLowerToken) {
  BeamSearch search({.width = 2}, 0, 10);
  search.Advance(Rows({{-2, -1, -5}, {}}), kNeverEnds);  // Slot 0 holds token 1, the better.
  search.Advance(Rows({{-3, -2, -2}, {-1, -1, -1}}), kNeverEnds);
  EXPECT_EQ(search.slots()[0].parent, 0);
  EXPECT_EQ(search.slots()[0].token, 1);
  EXPECT_EQ(search.slots()[1].parent, 0);
  EXPECT_EQ(search.slots()[1].token, 2);
}

TEST(BeamSearch, OnlyCandidatesAmongTheFirstWidthFinish) {
  BeamSearch search({.width = 2}, 1, 10);
  const auto ends = [](int32_t, const BeamSearch::Candidate& c) { return c.token == 3; };
  search.Advance(Rows({{-1, -2, -4, -3}, {}}), ends);  // The stop token is third.
  EXPECT_TRUE(search.finished().empty());
  search.Advance(Rows({{-1, -2, -4, -1.5f}, {-9, -9, -9, -9}}), ends);
  ASSERT_EQ(search.finished().size(), 1u);
  EXPECT_EQ(search.finished()[0].total_logprob, -2.5);
  EXPECT_EQ(search.finished()[0].score, -1.25);  // Over two tokens, the stop token included.
  EXPECT_EQ(search.finished()[0].step, 2);
  EXPECT_FALSE(search.over());
}

TEST(BeamSearch, WithTooFewCandidatesFewerBeamsRunDownToNone) {
  BeamSearch search({.width = 3}, 0, 10);
  search.Advance(Rows({{-1, -kInfinity, -2}, {}, {}}), kNeverEnds);
  EXPECT_TRUE(search.slots()[0].runs);
  EXPECT_TRUE(search.slots()[1].runs);
  EXPECT_FALSE(search.slots()[2].runs);
  EXPECT_EQ(search.slots()[2].parent, 2);
  EXPECT_FALSE(search.Wants(2));
  const auto always = [](int32_t, const BeamSearch::Candidate&) { return true; };
  search.Advance(Rows({{-1, -kInfinity, -kInfinity}, {-kInfinity, -kInfinity, -kInfinity}, {}}),
                 always);
  EXPECT_TRUE(search.over());
  EXPECT_EQ(search.finished().size(), 1u);
}

TEST(BeamTree, SharesBeginningsAndGivesBackWhatNobodyHolds) {
  BeamTree tree;
  const auto entry = [](TokenId token) {
    return BeamTree::Entry{TokenScore{token, 0, 0, {}}, "t"};
  };
  const BeamTree::Node a = tree.Add(BeamTree::kPrompt, entry(1));
  const BeamTree::Node b = tree.Add(a, entry(2));
  const BeamTree::Node c = tree.Add(a, entry(3));
  tree.Release(a);
  EXPECT_EQ(tree.size(), 3u);
  ASSERT_EQ(tree.Path(c).size(), 2u);
  EXPECT_EQ(tree.Path(c)[0]->score.token, 1);
  EXPECT_EQ(tree.Path(c)[1]->score.token, 3);
  tree.Release(b);
  EXPECT_EQ(tree.size(), 2u);
  tree.Release(c);
  EXPECT_EQ(tree.size(), 0u);
  EXPECT_LT(tree.Add(BeamTree::kPrompt, entry(4)), 3) << "places are not used again";
}

}  // namespace
}  // namespace hocket
