// Requests that calls attach to, leave and come back to, with a small model behind the real engine.
#include "service/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "service/error_reasons.h"
#include "session_rig.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;

constexpr size_t kAll = static_cast<size_t>(-1);

std::string Message(const ReadAnswer& answer) { return std::string(answer.status->message()); }

v1::GenerateRequest From(v1::GenerateRequest request, const std::vector<int64_t>& offsets) {
  request.mutable_resume()->clear_token_offsets();
  for (const int64_t offset : offsets) request.mutable_resume()->add_token_offsets(offset);
  return request;
}

v1::GenerateRequest After(v1::GenerateRequest request, const std::vector<TokenId>& tokens) {
  request.mutable_resume()->mutable_generated_tokens()->Add(tokens.begin(), tokens.end());
  return request;
}

TEST(SessionTest, ACallAttachesToARunningRequestAndReadsAllOfIt) {
  SessionRig rig;
  rig.executor.step_ms = 1;
  const auto first = rig.Start(Named("one", 60));
  first->WaitForTokens(5);
  const auto second = rig.Start(Named("one", 60));
  for (const auto& call : {first, second}) {
    const ReadAnswer answer = call->WaitForEnd();
    EXPECT_EQ(*answer.status, absl::OkStatus());
    EXPECT_TRUE(answer.started);
    EXPECT_EQ(answer.texts.at(0), LettersAfter(3, 60));
    EXPECT_EQ(answer.choice_tokens.at(0), 60);
    EXPECT_EQ(answer.finished->usage.generated_tokens, 60);
  }
  EXPECT_EQ(rig.executor.draws, 60);
}

TEST(SessionTest, AnEndedRequestIsReadAgainAndNothingIsComputed) {
  SessionRig rig;
  const ReadAnswer first = rig.Start(Named("one", 40))->WaitForEnd();
  EXPECT_TRUE(rig.WaitForState("one", v1::REQUEST_STATE_FINISHED));
  const ReadAnswer again = rig.Start(Named("one", 40))->WaitForEnd();
  const ReadAnswer unary = rig.Start(Named("one", 40), {.streams = false})->WaitForEnd();
  for (const ReadAnswer& answer : {first, again, unary}) {
    EXPECT_EQ(answer.texts.at(0), LettersAfter(3, 40));
    EXPECT_EQ(answer.tokens.at(0), first.tokens.at(0));
    EXPECT_EQ(answer.finished->timings.decode, first.finished->timings.decode);
  }
  EXPECT_EQ(unary.batches, 1u);
  EXPECT_EQ(rig.executor.draws, 40);
}

TEST(SessionTest, FromAnOffsetOrFromItsTokensAClientGetsWhatComesAfterThem) {
  SessionRig rig;
  const ReadAnswer whole = rig.Start(Named("one", 40))->WaitForEnd();
  const std::vector<TokenId>& tokens = whole.tokens.at(0);
  for (const size_t had : {size_t{1}, size_t{17}, size_t{39}, size_t{40}}) {
    const std::vector<TokenId> own(tokens.begin(), tokens.begin() + had);
    for (const v1::GenerateRequest& request :
         {From(Named("one", 40), {static_cast<int64_t>(had)}), After(Named("one", 40), own)}) {
      const ReadAnswer rest = rig.Start(request)->WaitForEnd();
      ASSERT_EQ(*rest.status, absl::OkStatus());
      EXPECT_TRUE(rest.started);
      const std::string text = rest.texts.contains(0) ? rest.texts.at(0) : "";
      EXPECT_EQ(whole.texts.at(0).substr(0, had) + text, whole.texts.at(0));
      EXPECT_EQ(rest.ends.at(0), FinishReason::kLength);
    }
  }
}

TEST(SessionTest, TokensThatAreNotTheRequestsAreRefusedByName) {
  SessionRig rig;
  const ReadAnswer whole = rig.Start(Named("one", 10))->WaitForEnd();
  std::vector<TokenId> others = whole.tokens.at(0);
  others[3] = 'Z';
  EXPECT_THAT(Message(rig.Start(After(Named("one", 10), others))->WaitForEnd()),
              HasSubstr("resume.generated_tokens[3]: 90 is not "));
  others = whole.tokens.at(0);
  others.push_back('a');
  EXPECT_THAT(Message(rig.Start(After(Named("one", 10), others))->WaitForEnd()),
              HasSubstr("resume.generated_tokens: 11 tokens; this request has 10 so far"));
  const ReadAnswer beyond = rig.Start(From(Named("one", 10), {11}))->WaitForEnd();
  EXPECT_TRUE(absl::IsInvalidArgument(*beyond.status));
  EXPECT_THAT(Message(beyond), HasSubstr("resume.token_offsets[0]: 11 tokens"));
  EXPECT_THAT(Message(rig.Start(From(Named("one", 10), {1, 1}))->WaitForEnd()),
              HasSubstr("resume.token_offsets: 2 entries are more than the limit of 1"));
  EXPECT_THAT(Message(rig.Start(From(After(Named("one", 10), {97}), {1}))->WaitForEnd()),
              HasSubstr("resume: only one of"));
}

TEST(SessionTest, AnotherRequestOfTheSameIdIsRefusedAndHarmsNobody) {
  SessionRig rig;
  rig.executor.step_ms = 1;
  const auto first = rig.Start(Named("one", 40));
  first->WaitForTokens(1);
  v1::GenerateRequest other = Named("one", 41);
  const ReadAnswer refused = rig.Start(other)->WaitForEnd();
  EXPECT_TRUE(absl::IsAlreadyExists(*refused.status)) << *refused.status;
  EXPECT_EQ(ReasonOf(*refused.status), ErrorReason::kRequestIdInUse);
  other = Named("one", 40);
  other.mutable_sampling()->set_seed(8);
  EXPECT_TRUE(absl::IsAlreadyExists(*rig.Start(other)->WaitForEnd().status));
  EXPECT_EQ(first->WaitForEnd().texts.at(0), LettersAfter(3, 40));
  EXPECT_TRUE(absl::IsAlreadyExists(*rig.Start(other)->WaitForEnd().status)) << "it is kept";
}

TEST(SessionTest, ASeedLeftToTheServerMayBeGivenOnceItIsTold) {
  SessionRig rig;
  v1::GenerateRequest request = Named("one", 10);
  request.clear_sampling();
  const auto first = rig.Start(request);
  first->WaitForEnd();
  EXPECT_EQ(*rig.Start(request)->WaitForEnd().status, absl::OkStatus());
  // The next call is told the effective seed by the first one's echo.
  request.mutable_sampling()->set_seed(first->seed());
  EXPECT_EQ(*rig.Start(request)->WaitForEnd().status, absl::OkStatus());
  request.mutable_sampling()->set_seed(first->seed() + 1);
  EXPECT_TRUE(absl::IsAlreadyExists(*rig.Start(request)->WaitForEnd().status));
}

TEST(SessionTest, ARequestWhoseClientLeftIsSuspendedAndTakenUpWhereItWas) {
  SessionRig rig;
  const ReadAnswer had = rig.StartAndLeave(Named("one", 80), 10);
  EXPECT_LT(rig.executor.draws, 80);
  EXPECT_TRUE(rig.WaitUntilIdle());
  const size_t tokens = had.tokens.at(0).size();
  const ReadAnswer rest =
      rig.Start(From(Named("one", 80), {static_cast<int64_t>(tokens)}))->WaitForEnd();
  EXPECT_EQ(*rest.status, absl::OkStatus());
  EXPECT_EQ(had.texts.at(0) + rest.texts.at(0), LettersAfter(3, 80));
  EXPECT_EQ(rest.finished->usage.generated_tokens, 80);
  EXPECT_EQ(rest.finished->usage.prompt_tokens, 3);
  EXPECT_EQ(rig.executor.draws, 80) << "a token was computed twice";
  const ReadAnswer whole = rig.Start(Named("one", 80))->WaitForEnd();
  EXPECT_EQ(whole.texts.at(0), LettersAfter(3, 80));
}

TEST(SessionTest, SeveralChoicesGoOnWhereEachOfThemWas) {
  SessionRig rig;
  v1::GenerateRequest request = Named("one", 60);
  request.mutable_choices()->set_n(3);
  const ReadAnswer had = rig.StartAndLeave(request, [](const ReadAnswer& answer) {
    return answer.tokens.size() == 3 && answer.tokens.at(2).size() > 5;
  });
  const ReadAnswer rest = rig.Start(From(request, {had.choice_tokens.at(0), had.choice_tokens.at(1),
                                                   had.choice_tokens.at(2)}))
                              ->WaitForEnd();
  ASSERT_EQ(*rest.status, absl::OkStatus());
  for (int32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(had.texts.at(i) + rest.texts.at(i), LettersAfter(3, 60, i));
    EXPECT_EQ(rest.ends.at(i), FinishReason::kLength);
  }
  EXPECT_EQ(rest.finished->usage.generated_tokens, 180);
}

TEST(SessionTest, TheBestOfSeveralAreTheSameAfterAnInterruption) {
  SessionRig rig;
  v1::GenerateRequest request = Named("quiet", 40);
  request.mutable_choices()->set_n(2);
  request.mutable_choices()->set_best_of(4);
  const ReadAnswer quiet = rig.Start(request)->WaitForEnd();
  request.set_request_id("disturbed");
  const ReadAnswer left = rig.StartAndLeave(
      request, [](const ReadAnswer& answer) { return answer.started.has_value(); });
  EXPECT_TRUE(left.texts.empty()) << "nothing is ranked yet";
  const ReadAnswer again = rig.Start(request)->WaitForEnd();
  EXPECT_EQ(again.texts, quiet.texts);
  EXPECT_EQ(again.tokens, quiet.tokens);
}

TEST(SessionTest, ReadersOfDifferentSpeedReadTheSame) {
  SessionRig rig;
  rig.executor.step_ms = 1;
  const auto slow = rig.Start(Named("one", 100), {.takes = 1});
  slow->WaitUntil([](const ReadAnswer& answer) { return answer.batches > 0; });
  const auto fast = rig.Start(Named("one", 100));
  EXPECT_EQ(fast->WaitForEnd().texts.at(0), LettersAfter(3, 100));
  EXPECT_FALSE(slow->WaitUntil([](const ReadAnswer&) { return true; }).status);
  slow->Take(kAll);
  const ReadAnswer answer = slow->WaitForEnd();
  EXPECT_EQ(answer.texts.at(0), LettersAfter(3, 100));
  EXPECT_LT(answer.batches, 20u) << "what a slow reader has missed comes together";
}

TEST(SessionTest, WhoLeavesDoesNotEndItForOthers) {
  SessionRig rig;
  rig.executor.step_ms = 1;
  const auto first = rig.Start(Named("one", 60));
  const auto second = rig.Start(Named("one", 60));
  second->WaitForTokens(3);
  first->ClientGone();
  EXPECT_TRUE(absl::IsCancelled(*first->WaitForEnd().status));
  EXPECT_EQ(second->WaitForEnd().texts.at(0), LettersAfter(3, 60));
  EXPECT_EQ(rig.executor.draws, 60);
}

TEST(SessionTest, ADeadlineEndsItsOwnCallOnly) {
  SessionRig rig;
  rig.executor.step_ms = 2;
  const auto first = rig.Start(Named("one", 150), {.deadline = absl::Milliseconds(120)});
  const auto second = rig.Start(Named("one", 150));
  absl::SleepFor(absl::Milliseconds(120));
  first->ClientGone();  // As gRPC does when a call's deadline passes.
  const ReadAnswer late = first->WaitForEnd();
  EXPECT_TRUE(absl::IsDeadlineExceeded(*late.status)) << *late.status;
  EXPECT_EQ(late.finished->finish.reason, FinishReason::kDeadline);
  EXPECT_EQ(second->WaitForEnd().texts.at(0), LettersAfter(3, 150));
}

TEST(SessionTest, AfterADeadlineTheRequestCanBeTakenUp) {
  SessionRig rig;
  rig.executor.step_ms = 2;
  const auto first = rig.Start(Named("one", 150), {.deadline = absl::Milliseconds(60)});
  const ReadAnswer late = first->WaitForEnd();
  EXPECT_TRUE(absl::IsDeadlineExceeded(*late.status)) << *late.status;
  ASSERT_TRUE(rig.WaitForState("one", v1::REQUEST_STATE_SUSPENDED));
  rig.executor.step_ms = 0;
  EXPECT_EQ(rig.Start(Named("one", 150))->WaitForEnd().texts.at(0), LettersAfter(3, 150));
  EXPECT_EQ(rig.executor.draws, 150);
}

TEST(SessionTest, WithoutAnIdNothingIsKept) {
  SessionRig rig;
  rig.executor.step_ms = 1;
  const auto call = rig.Start(Named("", 400));
  call->WaitForTokens(200);
  const std::optional<v1::HeldRequest> held = rig.Held(call->request_id());
  ASSERT_TRUE(held);
  const auto left = rig.Start(Named("", 400));
  left->WaitForTokens(3);
  const int64_t fixed_bytes = rig.Held(left->request_id())->pending_bytes();
  EXPECT_LT(held->pending_bytes() - fixed_bytes, 100 * 8) << "what was read is dropped";
  left->ClientGone();
  EXPECT_TRUE(rig.WaitUntilGone(left->request_id()));
  call->WaitForEnd();
  EXPECT_TRUE(rig.WaitUntilGone(call->request_id()));
}

TEST(SessionTest, ARefusalLeavesTheIdFree) {
  SessionRig rig;
  v1::GenerateRequest request = Named("one", 5);
  request.mutable_sampling()->set_top_p(2);
  EXPECT_TRUE(absl::IsInvalidArgument(*rig.Start(request)->WaitForEnd().status));
  EXPECT_EQ(*rig.Start(Named("one", 5))->WaitForEnd().status, absl::OkStatus());
}

TEST(SessionTest, CancelEndsItForGood) {
  SessionRig rig;
  rig.executor.step_ms = 2;
  const auto first = rig.Start(Named("one", 200));
  const ReadAnswer had = first->WaitForTokens(5);
  EXPECT_FALSE(rig.sessions.Cancel({.tenant = "somebody", .request_id = "one"}));
  EXPECT_TRUE(rig.sessions.Cancel({.tenant = "", .request_id = "one"}));
  EXPECT_TRUE(absl::IsCancelled(*first->WaitForEnd().status));
  const ReadAnswer again = rig.Start(Named("one", 200))->WaitForEnd();
  EXPECT_TRUE(absl::IsCancelled(*again.status));
  EXPECT_EQ(again.finished->finish.reason, FinishReason::kCancelled);
  EXPECT_GE(again.tokens.at(0).size(), 5u);
  EXPECT_FALSE(rig.sessions.Cancel({.tenant = "", .request_id = "one"}));
}

TEST(SessionTest, ASuspendedRequestCanBeCancelled) {
  SessionRig rig;
  rig.StartAndLeave(Named("one", 200), 5);
  EXPECT_TRUE(rig.sessions.Cancel({.tenant = "", .request_id = "one"}));
  EXPECT_TRUE(rig.WaitForState("one", v1::REQUEST_STATE_FINISHED));
  EXPECT_TRUE(absl::IsCancelled(*rig.Start(Named("one", 200))->WaitForEnd().status));
}

TEST(SessionTest, TenantsHaveTheirOwnIds) {
  SessionRig rig;
  rig.executor.step_ms = 1;
  const auto first = rig.Start(Named("one", 30), {.tenant = "a"});
  const auto second = rig.Start(Named("one", 20), {.tenant = "b"});
  EXPECT_EQ(first->WaitForEnd().texts.at(0), LettersAfter(3, 30));
  EXPECT_EQ(second->WaitForEnd().texts.at(0), LettersAfter(3, 20));
  EXPECT_NE(EngineIdOf({.tenant = "a", .request_id = "b/c"}),
            EngineIdOf({.tenant = "a/b", .request_id = "c"}));
}

TEST(SessionTest, WhatIsNotHeldIsComputedAnewAndTheClientGetsWhatItLacks) {
  SessionRig rig;
  const ReadAnswer rest = rig.Start(From(Named("one", 40), {25}))->WaitForEnd();
  ASSERT_EQ(*rest.status, absl::OkStatus());
  EXPECT_EQ(rest.texts.at(0), LettersAfter(3, 40).substr(25));
  EXPECT_EQ(rest.choice_tokens.at(0), 40);
  EXPECT_EQ(rig.Start(Named("one", 40))->WaitForEnd().texts.at(0), LettersAfter(3, 40))
      << "the server has all of it now";
  v1::GenerateRequest request = From(Named("two", 40), {25});
  request.mutable_sampling()->clear_seed();
  EXPECT_THAT(Message(rig.Start(request)->WaitForEnd()), HasSubstr("sampling.seed: is not set"));
  request.mutable_sampling()->set_temperature(0);
  EXPECT_EQ(*rig.Start(request)->WaitForEnd().status, absl::OkStatus());
  EXPECT_THAT(Message(rig.Start(From(Named("three", 40), {41}))->WaitForEnd()),
              HasSubstr("resume.token_offsets[0]: 41 is out of range [0, 40]"));
}

TEST(SessionTest, AnAnswerThatEndsBeforeTheOffsetIsNotTheClients) {
  SessionRig rig;
  v1::GenerateRequest request = From(Named("one", 40), {25});
  request.mutable_stopping()->add_stop_tokens(LettersAfter(3, 8).back());
  const ReadAnswer answer = rig.Start(request)->WaitForEnd();
  EXPECT_TRUE(absl::IsInvalidArgument(*answer.status));
  EXPECT_THAT(Message(answer), HasSubstr("resume.token_offsets[0]: 25 tokens, but the choice has "
                                         "ended with 8"));
}

TEST(SessionTest, TokensOfAnotherServerAreGoneOnFrom) {
  SessionRig rig;
  const std::string whole = LettersAfter(3, 40);
  const std::vector<TokenId> had(whole.begin(), whole.begin() + 25);
  rig.executor.step_ms = 1;
  const auto first = rig.Start(After(Named("one", 40), had));
  first->WaitForTokens(4);
  const auto second = rig.Start(After(Named("one", 40), had));
  for (const auto& call : {first, second}) {
    const ReadAnswer rest = call->WaitForEnd();
    EXPECT_EQ(rest.texts.at(0), whole.substr(25));
    EXPECT_EQ(rest.choice_tokens.at(0), 40);
    EXPECT_EQ(rest.finished->usage.generated_tokens, 15);
  }
  EXPECT_EQ(rig.executor.draws, 15);
  EXPECT_THAT(Message(rig.Start(Named("one", 40))->WaitForEnd()),
              HasSubstr("resume: has 0 tokens; the first 25 of choice 0 are not held here"));
}

TEST(SessionTest, PromptScoresAreNotRepeatedToWhomHasTokens) {
  SessionRig rig;
  v1::GenerateRequest request = Named("one", 20);
  request.mutable_output()->set_prompt_logprobs(true);
  EXPECT_EQ(rig.Start(request)->WaitForEnd().prompt_scores, 2u);
  EXPECT_EQ(rig.Start(request)->WaitForEnd().prompt_scores, 2u);
  EXPECT_EQ(rig.Start(From(request, {3}))->WaitForEnd().prompt_scores, 0u);
}

TEST(SessionTest, AShutdownTellsWhatToGoOnFromAndKeepsNothing) {
  SessionRig rig;
  rig.executor.step_ms = 2;
  const auto call = rig.Start(Named("one", 300));
  call->WaitForTokens(5);
  EXPECT_EQ(rig.engine.Drain(absl::Now()), 1);
  const ReadAnswer answer = call->WaitForEnd();
  EXPECT_TRUE(absl::IsUnavailable(*answer.status));
  EXPECT_EQ(answer.finished->generated, answer.tokens.at(0));
  EXPECT_TRUE(rig.WaitUntilGone("one"));
  EXPECT_TRUE(absl::IsUnavailable(*rig.Start(Named("one", 300))->WaitForEnd().status));
}

TEST(SessionTest, ATakeUpThatIsRefusedLeavesItSuspended) {
  SessionRig rig;
  rig.StartAndLeave(Named("one", 300), 5);
  rig.engine.Drain(absl::Now());
  EXPECT_TRUE(absl::IsUnavailable(*rig.Start(Named("one", 300))->WaitForEnd().status));
  EXPECT_TRUE(rig.WaitForState("one", v1::REQUEST_STATE_SUSPENDED));
}

TEST(SessionTest, NotMoreThanSomeCallsReadOneRequest) {
  SessionRig rig;
  rig.executor.step_ms = 2;
  std::vector<std::shared_ptr<TestCall>> calls;
  for (size_t i = 0; i < Session::kMaxAttached; ++i) calls.push_back(rig.Start(Named("one", 100)));
  EXPECT_TRUE(absl::IsResourceExhausted(*rig.Start(Named("one", 100))->WaitForEnd().status));
  rig.executor.step_ms = 0;
  for (const auto& call : calls) {
    EXPECT_EQ(call->WaitForEnd().texts.at(0), LettersAfter(3, 100));
  }
}

// Loses its connection again and again, at random, until it has the whole answer.
std::map<int32_t, std::string> ReadThroughBreaks(SessionRig& rig, v1::GenerateRequest request,
                                                 std::mt19937& random) {
  std::map<int32_t, std::string> texts;
  std::vector<int64_t> had(request.choices().n());
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const auto call = rig.Start(From(request, had), {.streams = random() % 8 != 0});
    const size_t wanted = random() % 4;
    ReadAnswer answer =
        random() % 4 == 0
            ? call->WaitForEnd()
            : call->WaitUntil([&](const ReadAnswer& read) { return read.batches >= wanted; });
    call->ClientGone();
    answer = call->WaitForEnd();
    for (const auto& [choice, text] : answer.texts) texts[choice] += text;
    for (const auto& [choice, tokens] : answer.choice_tokens) had[choice] = tokens;
    if (answer.status->ok()) return texts;
    EXPECT_TRUE(absl::IsCancelled(*answer.status)) << *answer.status;
  }
  ADD_FAILURE() << "it never came to an end";
  return texts;
}

TEST(SessionTest, HoweverConnectionsBreakTheAnswerIsTheSame) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SessionRig rig;
  rig.executor.step_ms = 1;
  std::vector<std::thread> clients;
  for (uint32_t client = 0; client < 6; ++client) {
    clients.emplace_back([&rig, seed, client] {
      std::mt19937 random(seed + client);
      for (int round = 0; round < 4; ++round) {
        const int32_t choices = 1 + static_cast<int32_t>(random() % 3);
        const int32_t tokens = 10 + static_cast<int32_t>(random() % 60);
        // Two clients share each request.
        v1::GenerateRequest request =
            Named("r" + std::to_string(client) + "." + std::to_string(round), tokens);
        request.mutable_choices()->set_n(choices);
        request.mutable_speculation()->set_prompt_lookup(choices == 1);
        request.set_text("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
        std::mt19937 other = random;
        other.discard(7);
        std::map<int32_t, std::string> second;
        std::thread twin([&] { second = ReadThroughBreaks(rig, request, other); });
        const std::map<int32_t, std::string> first = ReadThroughBreaks(rig, request, random);
        twin.join();
        for (int32_t i = 0; i < choices; ++i) {
          EXPECT_EQ(first.at(i), LettersAfter(53, tokens, i));
          EXPECT_EQ(second.at(i), LettersAfter(53, tokens, i));
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(rig.WaitUntilIdle());
}

TEST(SessionTest, GuessesAreCutWhereAClientWas) {
  SessionRig rig;
  v1::GenerateRequest request = Named("one", 100);
  request.set_text("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
  request.mutable_speculation()->set_prompt_lookup(true);
  const ReadAnswer whole = rig.Start(request)->WaitForEnd();
  EXPECT_EQ(whole.texts.at(0), LettersAfter(53, 100));
  ASSERT_GT(rig.engine.Stats().accepted_draft_tokens, 0);
  for (int64_t had = 1; had < 100; ++had) {
    const ReadAnswer rest = rig.Start(From(request, {had}))->WaitForEnd();
    ASSERT_EQ(*rest.status, absl::OkStatus()) << had;
    EXPECT_EQ(rest.texts.at(0), whole.texts.at(0).substr(had)) << had;
  }
}

}  // namespace
}  // namespace hocket
