// What the engine has said of one request, in a form that any number of readers can read at their
// own speed, each from a cursor of its own, and that a client which comes back can read on from the
// last token that it has. Not thread-safe.
#ifndef HOCKET_SERVICE_EVENT_LOG_H_
#define HOCKET_SERVICE_EVENT_LOG_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/request.h"
#include "scheduler/step.h"
#include "service/choice_settings.h"

namespace hocket {

// Consecutive tokens of one choice with all that belongs to them: the text is what was released
// with these very tokens, so that a client can go on after them.
struct ChoicePart {
  int32_t choice_index = 0;
  int64_t end_token = 0;  // How many tokens the choice has had with these.
  std::vector<TokenId> tokens;
  std::vector<TokenScore> scores;         // One per token, or none.
  std::vector<Explanation> explanations;  // One per token, or none.
  std::string text;
  std::optional<Finish> finish;  // Where the choice has ended with this part.
};

// Consecutive events of one request; each part may be missing. In the client's order: started,
// prompt scores, the choices, the end.
struct EventBatch {
  std::optional<StartedEvent> started;
  bool tells_prompt = true;  // Else the client has the prompt's scores, or what came before here.
  std::vector<TokenScore> prompt_scores;
  std::vector<float> embedding;
  std::vector<ChoicePart> choices;  // By rising choice_index, each at most once.
  std::optional<FinishedEvent> finished;
  std::optional<absl::Status> refused;  // Instead of an end: there is no answer, or no more of it.

  bool empty() const;
  bool ends() const { return finished.has_value() || refused.has_value(); }
  const ChoicePart* Choice(int32_t index) const;  // Null where it has nothing.
};

// How far a reader has read.
struct LogCursor {
  struct Place {
    int64_t tokens = 0;  // May be beyond the log: the reader then waits for what comes after.
    std::optional<size_t> text = {};  // Bytes; unset until the log has come so far.
    bool finished = false;            // The choice's end has been read.
  };

  bool started = false;
  bool tells_prompt = true;
  size_t prompt_scores = 0;
  bool embedding = false;
  std::vector<Place> choices;  // Missing ones are at the beginning.
};

// Most of one read, so that it makes messages of a bounded size. At least one token is read.
struct ReadLimits {
  size_t prompt_scores = std::numeric_limits<size_t>::max();
  size_t tokens = std::numeric_limits<size_t>::max();      // Of each choice.
  size_t text_bytes = std::numeric_limits<size_t>::max();  // Of each choice.
};

class EventLog {
 public:
  // `begun_tokens`: how many tokens of choice 0 came before this log (Request.resumed).
  explicit EventLog(int64_t begun_tokens = 0) : begun_tokens_(begun_tokens) {}

  // Before any other event: of the engine's choices the first so many are told. Where they are
  // ranked, none is until all have ended; then those of the highest mean log-probability (equal
  // ones in the order of their indices, after them those that were cut short), numbered anew, the
  // best as 0.
  void Expect(const RequestShape& shape);

  // A run of the engine begins; the first is begun already. What it repeats is left out: the
  // prompt's scores, and unless it goes on from the tokens that the log has (`resumes`) the tokens
  // too.
  void BeginRun(bool resumes);

  void Add(const StartedEvent& event);
  // INTERNAL when a further run draws other tokens than the first did.
  absl::Status Add(Outcome outcome);
  void Add(const FinishedEvent& event);  // The request's end: nothing comes after it.

  const std::optional<StartedEvent>& started() const { return started_; }
  bool ended() const { return finished_.has_value(); }
  const std::optional<FinishedEvent>& finished() const { return finished_; }
  // Nothing of the choices can be read before the end.
  bool holds_choices() const { return ranked_ && !ended(); }
  int64_t bytes() const { return bytes_; }  // About what it takes in memory.

  size_t choices() const { return choices_.size(); }    // Known so far.
  int64_t Tokens(int32_t choice) const;                 // Those before the log included.
  int64_t FirstToken(int32_t choice) const;             // Of those that can be read.
  std::vector<TokenId> TokensOf(int32_t choice) const;  // From FirstToken on.
  int64_t GeneratedTokens() const;                      // In the log, ever, over all choices.

  // Whether the text after so many tokens of a choice is known. It is not within tokens that the
  // engine gave at once (guesses that came true); SetTextEnds tells it then.
  bool KnowsTextEnd(int32_t choice, int64_t tokens) const;
  bool KnowsTextEnds(int32_t choice) const;
  // `ends`: bytes of text after each token from FirstToken on.
  void SetTextEnds(int32_t choice, const std::vector<size_t>& ends);

  // What comes after the cursor, which moves on. `end`: the reader's own, where the request goes on
  // without it; else the log's, once there is one. The end is read with the last of all else.
  EventBatch Read(LogCursor& cursor, const ReadLimits& limits = {},
                  const FinishedEvent* end = nullptr) const;

  // Forgets what lies before the cursor, for ever.
  void DropBefore(const LogCursor& cursor);

 private:
  static constexpr uint32_t kUnknown = std::numeric_limits<uint32_t>::max();

  // Of one choice, from a first token on.
  struct ChoiceLog {
    int64_t first_token = 0;
    size_t first_byte = 0;
    int64_t run_tokens = 0;  // How far the run has come.
    std::vector<TokenId> tokens;
    std::vector<TokenScore> scores;
    std::vector<Explanation> explanations;
    std::vector<uint32_t> text_ends;  // Of each token, in the choice's whole text.
    std::string text;
    std::optional<Finish> finish;

    int64_t end_token() const { return first_token + static_cast<int64_t>(tokens.size()); }
    size_t end_byte() const { return first_byte + text.size(); }
    size_t TextEnd(int64_t token) const;  // After so many tokens; kUnknown where it is not known.
  };

  ChoiceLog& ChoiceOf(int32_t index);
  absl::Status Append(Outcome& outcome, ChoiceLog& choice);
  absl::StatusOr<ChoicePart> ReadChoice(int32_t index, LogCursor::Place& place,
                                        const ReadLimits& limits) const;
  int64_t EndOfRead(const ChoiceLog& choice, const LogCursor::Place& place,
                    const ReadLimits& limits) const;
  bool HasRead(const LogCursor& cursor) const;  // All that there is so far, but for the end.
  void Rank();

  const int64_t begun_tokens_;
  int32_t told_choices_ = 1;
  bool ranked_ = false;
  bool beam_ = false;
  std::optional<StartedEvent> started_;
  size_t dropped_prompt_scores_ = 0;
  std::vector<TokenScore> prompt_scores_;
  size_t run_prompt_scores_ = 0;
  std::vector<float> embedding_;
  std::vector<ChoiceLog> choices_;
  std::optional<FinishedEvent> finished_;
  int64_t bytes_ = 0;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_EVENT_LOG_H_
