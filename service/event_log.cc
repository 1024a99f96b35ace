#include "service/event_log.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

template <typename T>
void Append(std::vector<T>& to, std::vector<T>&& from, size_t begin = 0) {
  if (to.empty() && begin == 0) {
    to = std::move(from);
    return;
  }
  if (begin >= from.size()) return;
  to.insert(to.end(), std::make_move_iterator(from.begin() + static_cast<std::ptrdiff_t>(begin)),
            std::make_move_iterator(from.end()));
}

template <typename T>
std::vector<T> Slice(const std::vector<T>& from, size_t begin, size_t count) {
  if (begin >= from.size()) return {};
  const auto first = from.begin() + static_cast<std::ptrdiff_t>(begin);
  return std::vector<T>(first,
                        first + static_cast<std::ptrdiff_t>(std::min(count, from.size() - begin)));
}

template <typename T>
void DropFirst(std::vector<T>& from, size_t count) {
  from.erase(from.begin(),
             from.begin() + static_cast<std::ptrdiff_t>(std::min(count, from.size())));
}

int64_t BytesOf(std::span<const TokenScore> scores) {
  constexpr size_t kAllocation = 16;  // What the heap adds to each.
  size_t bytes = 0;
  for (const TokenScore& score : scores) {
    bytes += sizeof(TokenScore);
    if (!score.top.empty()) bytes += score.top.capacity() * sizeof(TokenLogprob) + kAllocation;
  }
  return static_cast<int64_t>(bytes);
}

// A token's id and the end of its text.
constexpr int64_t kBytesPerToken = sizeof(TokenId) + sizeof(uint32_t);

// The mean log-probability of a choice's tokens; of a text of none, which nothing speaks against,
// 0.
std::optional<double> MeanLogprob(const Finish& finish, size_t tokens) {
  if (!finish.total_logprob) return std::nullopt;
  return tokens == 0 ? 0 : *finish.total_logprob / static_cast<double>(tokens);
}

// Those that have ended before those that were cut short, and among them by falling score.
bool RanksBefore(const std::optional<Finish>& a, const std::optional<Finish>& b) {
  if (a.has_value() != b.has_value()) return a.has_value();
  const auto score = [](const std::optional<Finish>& finish) {
    constexpr double kLowest = -std::numeric_limits<double>::infinity();
    return finish ? finish->score.value_or(kLowest) : kLowest;
  };
  return score(a) > score(b);
}

size_t CharacterStart(const std::string& text, size_t at) {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

}  // namespace

bool EventBatch::empty() const {
  return !started && !ends() && prompt_scores.empty() && embedding.empty() && choices.empty();
}

const ChoicePart* EventBatch::Choice(int32_t index) const {
  const auto found = std::ranges::find(choices, index, &ChoicePart::choice_index);
  return found == choices.end() ? nullptr : &*found;
}

size_t EventLog::ChoiceLog::TextEnd(int64_t token) const {
  if (token == end_token()) return end_byte();
  return token == first_token ? first_byte : text_ends[token - first_token - 1];
}

void EventLog::Expect(const RequestShape& shape) {
  told_choices_ = shape.choices;
  ranked_ = shape.ranked;
  beam_ = shape.beam;
  ChoiceOf((ranked_ ? shape.sequences : told_choices_) - 1);
}

EventLog::ChoiceLog& EventLog::ChoiceOf(int32_t index) {
  while (choices_.size() <= static_cast<size_t>(index)) {
    ChoiceLog& choice = choices_.emplace_back();
    choice.first_token = choice.run_tokens = choices_.size() == 1 ? begun_tokens_ : 0;
  }
  return choices_[index];
}

void EventLog::BeginRun(bool resumes) {
  run_prompt_scores_ = 0;
  for (ChoiceLog& choice : choices_) choice.run_tokens = resumes ? choice.end_token() : 0;
}

void EventLog::Add(const StartedEvent& event) {
  if (!started_) started_ = event;
}

absl::Status EventLog::Add(Outcome outcome) {
  const size_t had = dropped_prompt_scores_ + prompt_scores_.size();
  const size_t known =
      std::min(had - std::min(had, run_prompt_scores_), outcome.prompt_scores.size());
  run_prompt_scores_ += outcome.prompt_scores.size();
  bytes_ += BytesOf(std::span(outcome.prompt_scores).subspan(known));
  hocket::Append(prompt_scores_, std::move(outcome.prompt_scores), known);
  if (embedding_.empty()) {
    bytes_ += static_cast<int64_t>(outcome.embedding.size() * sizeof(float));
    embedding_ = std::move(outcome.embedding);
  }
  // Beam search has more sequences than answers; its first are the best.
  if (!ranked_ && outcome.choice_index >= told_choices_) return absl::OkStatus();
  if (outcome.tokens.empty() && outcome.text.empty() && !outcome.finish) return absl::OkStatus();
  return Append(outcome, ChoiceOf(outcome.choice_index));
}

absl::Status EventLog::Append(Outcome& outcome, ChoiceLog& choice) {
  if (choice.finish) return absl::OkStatus();  // It ended in a run before.
  const auto count = static_cast<int64_t>(outcome.tokens.size());
  const int64_t known = std::min(choice.end_token() - choice.run_tokens, count);
  for (int64_t i = 0; i < known; ++i) {
    const int64_t place = choice.run_tokens + i - choice.first_token;
    if (place < 0 || choice.tokens[place] == outcome.tokens[i]) continue;
    return absl::InternalError(
        absl::StrCat("choice ", outcome.choice_index, " was drawn again as ", outcome.tokens[i],
                     " in place of ", choice.tokens[place], " at token ", choice.run_tokens + i));
  }
  choice.run_tokens += count;
  if (known > 0 && known < count) {
    return absl::InternalError("tokens drawn again came together with new ones");
  }
  if (known == 0) {
    const size_t text_begin = choice.end_byte();
    for (int64_t i = 1; i <= count; ++i) {
      size_t end = i == count ? outcome.text.size() : kUnknown;
      // A beam's text comes all at once, and only so: where it is cut is the same in every run.
      if (beam_) end = CharacterStart(outcome.text, outcome.text.size() * i / count);
      choice.text_ends.push_back(end == kUnknown ? kUnknown
                                                 : static_cast<uint32_t>(text_begin + end));
    }
    bytes_ += count * kBytesPerToken + BytesOf(outcome.scores) +
              static_cast<int64_t>(outcome.text.size());
    hocket::Append(choice.tokens, std::move(outcome.tokens));
    hocket::Append(choice.scores, std::move(outcome.scores));
    hocket::Append(choice.explanations, std::move(outcome.explanations));
    choice.text += outcome.text;
  }
  if (outcome.finish) choice.finish = std::move(outcome.finish);
  return absl::OkStatus();
}

void EventLog::Add(const FinishedEvent& event) {
  finished_ = event;
  if (ranked_) Rank();
  for (ChoiceLog& choice : choices_) {
    choice.tokens.shrink_to_fit();
    choice.scores.shrink_to_fit();
    choice.text_ends.shrink_to_fit();
    choice.text.shrink_to_fit();
  }
}

void EventLog::Rank() {
  for (ChoiceLog& choice : choices_) {
    if (choice.finish) choice.finish->score = MeanLogprob(*choice.finish, choice.tokens.size());
  }
  std::stable_sort(choices_.begin(), choices_.end(), [](const ChoiceLog& a, const ChoiceLog& b) {
    return RanksBefore(a.finish, b.finish);
  });
  while (choices_.size() > static_cast<size_t>(told_choices_)) {
    const ChoiceLog& dropped = choices_.back();
    bytes_ -= static_cast<int64_t>(dropped.tokens.size()) * kBytesPerToken +
              BytesOf(dropped.scores) + static_cast<int64_t>(dropped.text.size());
    choices_.pop_back();
  }
}

int64_t EventLog::Tokens(int32_t choice) const {
  if (static_cast<size_t>(choice) < choices_.size()) return choices_[choice].end_token();
  return choice == 0 ? begun_tokens_ : 0;
}

int64_t EventLog::FirstToken(int32_t choice) const {
  if (static_cast<size_t>(choice) < choices_.size()) return choices_[choice].first_token;
  return choice == 0 ? begun_tokens_ : 0;
}

std::vector<TokenId> EventLog::TokensOf(int32_t choice) const {
  if (static_cast<size_t>(choice) >= choices_.size()) return {};
  return choices_[choice].tokens;
}

int64_t EventLog::GeneratedTokens() const {
  int64_t tokens = -begun_tokens_;
  for (size_t i = 0; i < std::max<size_t>(choices_.size(), 1); ++i) {
    tokens += Tokens(static_cast<int32_t>(i));
  }
  return tokens;
}

bool EventLog::KnowsTextEnd(int32_t choice, int64_t tokens) const {
  if (static_cast<size_t>(choice) >= choices_.size()) return true;
  const ChoiceLog& log = choices_[choice];
  return tokens <= log.first_token || tokens >= log.end_token() || log.TextEnd(tokens) != kUnknown;
}

bool EventLog::KnowsTextEnds(int32_t choice) const {
  return static_cast<size_t>(choice) >= choices_.size() ||
         std::ranges::count(choices_[choice].text_ends, kUnknown) == 0;
}

void EventLog::SetTextEnds(int32_t choice, const std::vector<size_t>& ends) {
  ChoiceLog& log = choices_[choice];
  for (size_t i = 0; i < std::min(ends.size(), log.text_ends.size()); ++i) {
    if (log.text_ends[i] != kUnknown) continue;
    log.text_ends[i] = static_cast<uint32_t>(std::min(log.first_byte + ends[i], log.end_byte()));
  }
}

// The last token of a read: within the limits where there is one whose text's end is known, else
// the first such.
int64_t EventLog::EndOfRead(const ChoiceLog& choice, const LogCursor::Place& place,
                            const ReadLimits& limits) const {
  const int64_t all = choice.end_token();
  const auto fits = [&](int64_t end) {
    return static_cast<size_t>(end - place.tokens) <= limits.tokens &&
           choice.TextEnd(end) - *place.text <= limits.text_bytes;
  };
  if (place.tokens == all || fits(all)) return all;
  int64_t best = place.tokens;
  for (int64_t end = place.tokens + 1; end <= all; ++end) {
    if (choice.TextEnd(end) == kUnknown) continue;
    if (!fits(end)) return best > place.tokens ? best : end;
    best = end;
  }
  return best;
}

absl::StatusOr<ChoicePart> EventLog::ReadChoice(int32_t index, LogCursor::Place& place,
                                                const ReadLimits& limits) const {
  const ChoiceLog& choice = choices_[index];
  ChoicePart part;
  part.choice_index = index;
  part.end_token = place.tokens;
  if (place.tokens > choice.end_token()) {
    if (!choice.finish) return part;
    return FieldError(
        absl::StrCat("resume.token_offsets[", index, "]"),
        absl::StrCat(place.tokens, " tokens, but the choice has ended with ", choice.end_token()));
  }
  // What was dropped in between has been read.
  if (!place.text || place.tokens < choice.first_token) {
    place.tokens = std::max(place.tokens, choice.first_token);
    place.text = choice.TextEnd(place.tokens);
    if (*place.text == kUnknown) return absl::InternalError("a reader began within a guess");
  }
  const int64_t end = EndOfRead(choice, place, limits);
  const auto begin = static_cast<size_t>(place.tokens - choice.first_token);
  const auto count = static_cast<size_t>(end - place.tokens);
  part.end_token = end;
  part.tokens = Slice(choice.tokens, begin, count);
  part.scores = Slice(choice.scores, begin, count);
  part.explanations = Slice(choice.explanations, begin, count);
  const size_t text_end = choice.TextEnd(end);
  part.text = choice.text.substr(*place.text - choice.first_byte, text_end - *place.text);
  place.tokens = end;
  place.text = text_end;
  if (end == choice.end_token() && choice.finish && !std::exchange(place.finished, true)) {
    part.finish = choice.finish;
  }
  return part;
}

EventBatch EventLog::Read(LogCursor& cursor, const ReadLimits& limits,
                          const FinishedEvent* end) const {
  EventBatch batch;
  if (started_ && !std::exchange(cursor.started, true)) batch.started = started_;
  batch.tells_prompt = cursor.tells_prompt;
  if (cursor.tells_prompt) {
    const size_t begin = std::max(cursor.prompt_scores, dropped_prompt_scores_);
    batch.prompt_scores =
        Slice(prompt_scores_, begin - dropped_prompt_scores_, limits.prompt_scores);
    cursor.prompt_scores = begin + batch.prompt_scores.size();
  }
  if (!embedding_.empty() && !std::exchange(cursor.embedding, true)) batch.embedding = embedding_;
  const bool prompt_read = !cursor.tells_prompt ||
                           cursor.prompt_scores == dropped_prompt_scores_ + prompt_scores_.size();
  if (!holds_choices() && prompt_read) {
    cursor.choices.resize(std::max(cursor.choices.size(), choices_.size()));
    for (size_t i = 0; i < choices_.size(); ++i) {
      absl::StatusOr<ChoicePart> part =
          ReadChoice(static_cast<int32_t>(i), cursor.choices[i], limits);
      if (!part.ok()) {
        batch.refused = part.status();
        return batch;
      }
      const bool nothing = part->tokens.empty() && part->text.empty() && !part->finish;
      if (!nothing) batch.choices.push_back(*std::move(part));
    }
  }
  if (end == nullptr && finished_) end = &*finished_;
  if (end != nullptr && HasRead(cursor)) batch.finished = *end;
  return batch;
}

bool EventLog::HasRead(const LogCursor& cursor) const {
  if (cursor.tells_prompt &&
      cursor.prompt_scores < dropped_prompt_scores_ + prompt_scores_.size()) {
    return false;
  }
  if (holds_choices()) return true;
  for (size_t i = 0; i < std::min(choices_.size(), cursor.choices.size()); ++i) {
    const ChoiceLog& choice = choices_[i];
    const LogCursor::Place& place = cursor.choices[i];
    if (place.tokens > choice.end_token()) continue;  // It waits for what does not come.
    if (place.tokens < choice.end_token() || place.text.value_or(0) < choice.end_byte())
      return false;
    if (choice.finish && !place.finished) return false;
  }
  return cursor.choices.size() >= choices_.size();
}

void EventLog::DropBefore(const LogCursor& cursor) {
  const size_t scores =
      cursor.prompt_scores - std::min(cursor.prompt_scores, dropped_prompt_scores_);
  bytes_ -= BytesOf(std::span(prompt_scores_).first(std::min(scores, prompt_scores_.size())));
  DropFirst(prompt_scores_, scores);
  dropped_prompt_scores_ += scores;
  for (size_t i = 0; i < std::min(choices_.size(), cursor.choices.size()); ++i) {
    ChoiceLog& choice = choices_[i];
    const LogCursor::Place& place = cursor.choices[i];
    if (!place.text || place.tokens < choice.first_token) continue;
    const auto tokens = static_cast<size_t>(place.tokens - choice.first_token);
    const size_t bytes = *place.text - choice.first_byte;
    bytes_ -= static_cast<int64_t>(tokens) * kBytesPerToken + static_cast<int64_t>(bytes) +
              BytesOf(std::span(choice.scores).first(std::min(tokens, choice.scores.size())));
    DropFirst(choice.tokens, tokens);
    DropFirst(choice.scores, tokens);
    DropFirst(choice.text_ends, tokens);
    choice.text.erase(0, bytes);
    choice.first_token = place.tokens;
    choice.first_byte = *place.text;
  }
}

}  // namespace hocket
