#include "service/cli/explanation_text.h"

#include <gtest/gtest.h>

#include <cmath>

#include "small_model.h"

namespace hocket {
namespace {

TEST(ExplanationText, IsATableOfCandidatesByPartsOfTheChain) {
  const std::vector<Explanation> explanations = {
      {.token = 'b',
       .candidates = {'a', 'b'},
       .stages = {{"model", 256, {0.6f, 0.3f}}, {"top-k", 1, {0, 1}}}}};
  const std::string text = ExplanationText(explanations, ByteText());
  EXPECT_EQ(text.substr(0, text.find('\n')), "token 1: \"b\"");
  EXPECT_NE(text.find("model"), std::string::npos) << text;
  EXPECT_NE(text.find("> \"b\""), std::string::npos) << text;
  EXPECT_NE(text.find("30.00"), std::string::npos) << text;
  EXPECT_NE(text.find("100.00"), std::string::npos) << text;
  EXPECT_NE(text.find("256"), std::string::npos) << text;
}

TEST(ExplanationText, WhatATerminalWouldNotShowIsEscaped) {
  EXPECT_EQ(QuotedToken(ByteText(), '\n'), "\"\\n\"");
}

std::vector<TokenScore> Scores() {
  return {{.token = 'a', .logprob = 0, .rank = 1, .top = {}},
          {.token = 'b', .logprob = std::log(0.5f), .rank = 1, .top = {}},
          {.token = 'c', .logprob = std::log(0.01f), .rank = 9, .top = {}}};
}

TEST(Probabilities, AreBlocksOrNumbers) {
  EXPECT_EQ(ShadedText(Scores(), ByteText()), "a█b▒c ");
  EXPECT_EQ(NumberedText(Scores(), ByteText()), "100.0% \"a\"\n 50.0% \"b\"\n  1.0% \"c\"\n");
}

}  // namespace
}  // namespace hocket
