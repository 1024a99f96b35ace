package hocket.smoke;

import hocket.v1.Choice;
import hocket.v1.Delta;
import hocket.v1.Started;
import hocket.v1.StreamGenerateResponse;
import hocket.v1.TokenLogprob;
import hocket.v1.TokenScore;
import hocket.v1.Usage;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.function.Predicate;

/** A stream, folded. */
final class Answer {
  /** What came of one choice, in the words of the printed line. */
  static final class ChoiceLine {
    final StringBuilder text = new StringBuilder();
    final List<Integer> token_ids = new ArrayList<>();
    final List<Long> logprob_bits = new ArrayList<>(); // As IEEE 754 says, alternatives included.
    String finish_reason = "";
    transient long choiceTokens = 0;

    static ChoiceLine of(Choice choice) {
      ChoiceLine line = new ChoiceLine();
      line.text.append(choice.getText());
      line.token_ids.addAll(choice.getTokenIdsList());
      line.addScores(choice.getLogprobsList());
      line.finish_reason = choice.getFinishReason().name();
      return line;
    }

    void add(Delta delta) {
      text.append(delta.getText());
      token_ids.addAll(delta.getTokenIdsList());
      addScores(delta.getLogprobsList());
      choiceTokens = delta.getChoiceTokens();
    }

    private void addScores(List<TokenScore> scores) {
      for (TokenScore score : scores) {
        logprob_bits.add(bitsOf(score.getLogprob()));
        for (TokenLogprob alternative : score.getTopList()) {
          logprob_bits.add(bitsOf(alternative.getLogprob()));
        }
      }
    }
  }

  final List<ChoiceLine> choices = new ArrayList<>();
  Started started;
  Usage usage;

  Answer(int choiceCount) {
    for (int i = 0; i < choiceCount; i++) {
      choices.add(new ChoiceLine());
    }
  }

  static long bitsOf(float value) {
    return Integer.toUnsignedLong(Float.floatToIntBits(value));
  }

  void add(StreamGenerateResponse response) {
    switch (response.getEventCase()) {
      case STARTED:
        started = response.getStarted();
        break;
      case DELTA:
        choices.get(response.getDelta().getChoiceIndex()).add(response.getDelta());
        break;
      case FINISHED:
        choices.get(response.getFinished().getChoiceIndex()).finish_reason =
            response.getFinished().getFinishReason().name();
        if (response.getFinished().hasUsage()) {
          usage = response.getFinished().getUsage();
        }
        break;
      default: // Events that a later version may have are skipped.
    }
  }

  /** Reads to the end. Throws StatusRuntimeException when the call ends with an error. */
  Answer fold(Iterator<StreamGenerateResponse> stream) {
    stream.forEachRemaining(this::add);
    return this;
  }

  /** Reads until `enough`; the stream must have that much. */
  Answer foldUntil(Iterator<StreamGenerateResponse> stream, Predicate<Answer> enough) {
    while (!enough.test(this)) {
      add(stream.next());
    }
    return this;
  }
}
