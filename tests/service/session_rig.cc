#include "session_rig.h"

#include <gtest/gtest.h>

#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "service/list_requests.h"
#include "service/request_body.h"

namespace hocket {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

SchedulerSettings SmallScheduler() {
  SchedulerSettings settings;
  settings.total_blocks = 512;
  settings.max_context_tokens = 2048;
  settings.max_running_sequences = 16;
  return settings;
}

bool WaitFor(const std::function<bool()>& done) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!done()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

}  // namespace

void TestCall::Take(size_t batches) {
  bool waited = false;
  {
    std::lock_guard lock(mutex_);
    allowance_ = batches;
    if (waits_ && allowance_ > 0) {
      --allowance_;
      waited = std::exchange(waits_, false);
    }
  }
  if (!waited) return;
  WriteEnds();
  BatchSent();
}

void TestCall::Add(EventBatch batch, std::optional<absl::Status> end) {
  if (batch.started) answer_.started = batch.started;
  answer_.prompt_scores += batch.prompt_scores.size();
  for (const ChoicePart& part : batch.choices) {
    answer_.texts[part.choice_index] += part.text;
    std::vector<TokenId>& tokens = answer_.tokens[part.choice_index];
    tokens.insert(tokens.end(), part.tokens.begin(), part.tokens.end());
    answer_.choice_tokens[part.choice_index] = part.end_token;
    if (part.finish) answer_.ends[part.choice_index] = part.finish->reason;
  }
  if (batch.finished) answer_.finished = batch.finished;
  if (end) answer_.status = end;
  ++answer_.batches;
}

void TestCall::Send(EventBatch batch, std::optional<absl::Status> end) {
  bool taken = false;
  WriteBegins();
  {
    std::lock_guard lock(mutex_);
    request_id_ = context().request.request_id;
    seed_ = context().request.effective.sampling().seed();
    Add(std::move(batch), end);
    taken = allowance_ > 0;
    if (taken) --allowance_;
    waits_ = !taken;
    changed_.notify_all();
  }
  if (end) return Done();
  if (!taken) return;
  WriteEnds();
  BatchSent();
}

// As gRPC does: the write fails and the client counts as gone.
void TestCall::Abort() {
  aborted_ = true;
  ClientGone();
  Take(static_cast<size_t>(-1));
}

ReadAnswer TestCall::WaitUntil(const std::function<bool(const ReadAnswer&)>& enough) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoNanoseconds(kPatience),
                    [&] { return enough(answer_) || answer_.status.has_value(); });
  return answer_;
}

ReadAnswer TestCall::WaitForEnd() {
  return WaitUntil([](const ReadAnswer&) { return false; });
}

std::function<bool(const ReadAnswer&)> TestCall::HasTokens(size_t tokens) {
  return [tokens](const ReadAnswer& answer) {
    const auto found = answer.tokens.find(0);
    return found != answer.tokens.end() && found->second.size() >= tokens;
  };
}

std::string TestCall::request_id() const {
  std::lock_guard lock(mutex_);
  return request_id_;
}

uint64_t TestCall::seed() const {
  std::lock_guard lock(mutex_);
  return seed_;
}

SessionRig::SessionRig(const SessionSettings& settings, int32_t max_queued_texts)
    : sessions(settings, &delivery),
      engine(SmallScheduler(), &executor, &metrics),
      text_pool(1, max_queued_texts) {
  parts.engine = &engine;
  parts.validator = &validator;
  parts.text = &text;
  parts.metrics = &metrics;
  parts.text_pool = &text_pool;
  parts.delivery = &delivery;
  parts.sessions = &sessions;
}

// Nothing may call a call's virtual functions any more when its parts go.
SessionRig::~SessionRig() {
  executor.step_ms = 0;
  for (const std::shared_ptr<TestCall>& call : calls_) {
    call->ClientGone();
    call->Take(static_cast<size_t>(-1));
    call->WaitForEnd();
  }
}

std::shared_ptr<TestCall> SessionRig::Start(const v1::GenerateRequest& request,
                                            const CallOptions& options) {
  return Start(request, options, [this, request] { return validator.Generate(request); });
}

std::shared_ptr<TestCall> SessionRig::Start(const v1::GenerateRequest& request,
                                            const CallOptions& options,
                                            Session::Validate validate) {
  CallOrigin origin;
  origin.method = "Test";
  origin.streams = options.streams;
  origin.deadline = absl::Now() + options.deadline;
  origin.caller.tenant = options.tenant;
  auto call = std::make_shared<TestCall>(parts, std::move(origin));
  call->Take(options.takes);
  {
    std::lock_guard lock(mutex_);
    calls_.push_back(call);
  }
  CallRequest asked;
  asked.request_id = request.request_id();
  asked.body = BodyOf(request, "small");
  asked.resume = ReadResume(request.resume());
  asked.validate = std::move(validate);
  call->Start(std::move(asked));
  return call;
}

ReadAnswer SessionRig::StartAndLeave(const v1::GenerateRequest& request,
                                     const std::function<bool(const ReadAnswer&)>& enough) {
  executor.step_ms = 2;
  const auto call = Start(request);
  call->WaitUntil(enough);
  call->ClientGone();
  const ReadAnswer had = call->WaitForEnd();
  EXPECT_TRUE(had.status && absl::IsCancelled(*had.status));
  EXPECT_TRUE(WaitForState(request.request_id(), v1::REQUEST_STATE_SUSPENDED));
  executor.step_ms = 0;
  return had;
}

ReadAnswer SessionRig::StartAndLeave(const v1::GenerateRequest& request, size_t tokens) {
  return StartAndLeave(request, TestCall::HasTokens(tokens));
}

std::optional<v1::HeldRequest> SessionRig::Held(const std::string& request_id) {
  const v1::ListRequestsResponse list = ListHeldRequests({}, sessions);
  for (const v1::HeldRequest& held : list.requests()) {
    if (held.request_id() == request_id) return held;
  }
  return std::nullopt;
}

bool SessionRig::WaitForState(const std::string& request_id, v1::RequestState state) {
  return WaitFor([&] {
    const std::optional<v1::HeldRequest> held = Held(request_id);
    return held && held->state() == state;
  });
}

bool SessionRig::WaitUntilGone(const std::string& request_id) {
  return WaitFor([&] { return !Held(request_id); });
}

bool SessionRig::WaitUntilIdle() {
  return WaitFor([&] { return engine.Stats().running_sequences == 0; });
}

v1::GenerateRequest Named(const std::string& id, int32_t max_new_tokens) {
  v1::GenerateRequest request;
  request.set_request_id(id);
  request.set_text("hi");
  request.mutable_sampling()->set_seed(7);
  request.mutable_stopping()->set_max_new_tokens(max_new_tokens);
  return request;
}

}  // namespace hocket
