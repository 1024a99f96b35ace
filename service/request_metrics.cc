#include "service/request_metrics.h"

#include <algorithm>

#include "runtime/generation_spec.h"

namespace hocket {
namespace {

void Observe(prometheus::Histogram& histogram, absl::Duration duration) {
  histogram.Observe(absl::ToDoubleSeconds(duration));
}

void Add(prometheus::Counter& counter, absl::Duration duration) {
  counter.Increment(std::max(absl::ToDoubleSeconds(duration), 0.0));
}

void Add(prometheus::Counter& counter, int64_t count) {
  counter.Increment(static_cast<double>(count));
}

bool HasPenalties(const SamplingSettings& sampling) {
  return sampling.repetition_penalty != 1 || sampling.presence_penalty != 0 ||
         sampling.frequency_penalty != 0 || sampling.dry.has_value();
}

bool HasTokenRules(const SamplingSettings& sampling) {
  return !sampling.logit_bias.empty() || !sampling.allowed_tokens.empty() ||
         !sampling.banned_tokens.empty() || !sampling.bad_words.empty();
}

}  // namespace

RequestMetrics::Features RequestMetrics::FeaturesOf(const Request& request) {
  Features features;
  const auto note = [&features](SamplingFeature feature, bool asked) {
    if (asked) features.set(static_cast<size_t>(feature));
  };
  if (request.max_new_tokens == 0 || request.spec == nullptr) {
    note(SamplingFeature::kPromptOnly, true);
    return features;
  }
  const GenerationSpec& spec = *request.spec;
  note(SamplingFeature::kGreedy, !request.beam && spec.sampling.temperature == 0);
  note(SamplingFeature::kRandom, !request.beam && spec.sampling.temperature != 0);
  note(SamplingFeature::kBeamSearch, request.beam);
  note(SamplingFeature::kChoices, !request.beam && request.choices > 1);
  note(SamplingFeature::kConstrained, spec.grammar != nullptr);
  note(SamplingFeature::kPenalties, HasPenalties(spec.sampling));
  note(SamplingFeature::kTokenRules, HasTokenRules(spec.sampling));
  note(SamplingFeature::kLogprobs, spec.output.logprobs);
  note(SamplingFeature::kSpeculation, request.max_draft_tokens > 0);
  return features;
}

void RequestMetrics::Submitting(const Request& request) {
  features_ = FeaturesOf(request);
  held_ = metrics_->held_[static_cast<size_t>(request.priority)];
  tenant_ = metrics_->tenants_.Of(request.tenant);
  held_.waiting->Increment();
  tenant_.waiting->Increment();
}

void RequestMetrics::NotTaken() {
  held_.waiting->Decrement();
  tenant_.waiting->Decrement();
}

void RequestMetrics::Started(const StartedEvent& event) {
  started_ = true;
  held_.waiting->Decrement();
  held_.running->Increment();
  tenant_.waiting->Decrement();
  tenant_.running->Increment();
  Add(metrics_->tokens_.prompt, event.prompt_tokens);
  Add(metrics_->tokens_.cached, event.cached_tokens);
  Add(*tenant_.prompt_tokens, event.prompt_tokens);
  for (size_t i = 0; i < kSamplingFeatures; ++i) {
    if (features_[i]) metrics_->features_[i]->Increment();
  }
}

void RequestMetrics::Drawn(const Outcome& outcome, absl::Time now) {
  if (outcome.tokens.empty()) return;
  if (!first_token_) {
    first_token_ = now - received_;
    Observe(metrics_->latencies_.first_token, *first_token_);
  }
  const auto choice = static_cast<size_t>(outcome.choice_index);
  if (last_tokens_.size() <= choice) last_tokens_.resize(choice + 1, absl::InfinitePast());
  if (last_tokens_[choice] != absl::InfinitePast()) {
    Observe(metrics_->latencies_.inter_token, now - last_tokens_[choice]);
  }
  last_tokens_[choice] = now;
  const auto drawn = static_cast<int64_t>(outcome.tokens.size());
  Add(metrics_->tokens_.generated, drawn);
  Add(*tenant_.generated_tokens, drawn);
}

void RequestMetrics::Finished(const FinishedEvent& event, absl::Time now) {
  (started_ ? held_.running : held_.waiting)->Decrement();
  (started_ ? tenant_.running : tenant_.waiting)->Decrement();
  tenant_.requests->Increment();
  metrics_->finish_reasons_[static_cast<size_t>(event.finish.reason)]->Increment();
  Add(metrics_->waits_.slots, event.timings.waits.slots);
  Add(metrics_->waits_.blocks, event.timings.waits.blocks);
  Add(metrics_->waits_.budget, event.timings.waits.budget);
  Add(metrics_->waits_.fairness, event.timings.waits.fairness);
  const Metrics::Latencies& latencies = metrics_->latencies_;
  Observe(latencies.request, now - received_);
  Observe(latencies.queue, event.timings.queued);
  if (!started_) return;
  Observe(latencies.prefill, event.timings.prefill);
  Observe(latencies.decode, event.timings.decode);
  Observe(latencies.inference, event.timings.prefill + event.timings.decode);
  metrics_->tokens_.of_prompt.Observe(static_cast<double>(event.usage.prompt_tokens));
  metrics_->tokens_.of_answer.Observe(static_cast<double>(event.usage.generated_tokens));
}

}  // namespace hocket
