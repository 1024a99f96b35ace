"""The one way in which these tests build requests and fold streams."""

import dataclasses

from server_process import ServerProcess  # noqa: F401  Puts the stubs on the path.

from hocket.v1 import generation_pb2


def generate_request(text="Once upon a time", **fields):
    """A request; `sampling`, `stopping`, `output` take dicts. Input defaults to text."""
    if not {"tokens", "chat"} & fields.keys():
        fields["text"] = text
    return generation_pb2.GenerateRequest(**fields)


@dataclasses.dataclass
class Folded:
    """A whole stream, folded as a client would."""
    started: object = None
    finished: object = None
    text: str = ""
    token_ids: list = dataclasses.field(default_factory=list)
    logprobs: list = dataclasses.field(default_factory=list)
    prompt_scores: list = dataclasses.field(default_factory=list)
    deltas: int = 0


def fold(events):
    result = Folded()
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "started":
            assert result.started is None and result.deltas == 0
            result.started = event.started
        elif kind == "prompt_scores":
            result.prompt_scores.extend(event.prompt_scores.scores)
        elif kind == "delta":
            result.deltas += 1
            result.text += event.delta.text
            result.token_ids.extend(event.delta.token_ids)
            result.logprobs.extend(event.delta.logprobs)
        elif kind == "finished":
            assert result.finished is None
            result.finished = event.finished
    return result


def bits(folded):
    """What must be the same to the last bit: tokens, text, and every log-probability."""
    return (folded.text, tuple(folded.token_ids),
            tuple((s.token_id, s.logprob, s.rank, tuple((t.token_id, t.logprob) for t in s.top))
                  for s in folded.logprobs))


def fold_choices(events):
    """A stream of several choices, folded: one Folded each, by index; only the last Finished has the usage."""
    events = list(events)
    count = 1 + max((event.finished.choice_index for event in events if event.HasField("finished")), default=0)
    choices = [Folded() for _ in range(count)]
    ends = []
    for position, event in enumerate(events):
        kind = event.WhichOneof("event")
        if kind == "started":
            assert position == 0
            for choice in choices:
                choice.started = event.started
        elif kind == "prompt_scores":
            choices[0].prompt_scores.extend(event.prompt_scores.scores)
        elif kind == "delta":
            choice = choices[event.delta.choice_index]
            assert choice.finished is None, "a choice goes on after its end"
            choice.deltas += 1
            choice.text += event.delta.text
            choice.token_ids.extend(event.delta.token_ids)
            choice.logprobs.extend(event.delta.logprobs)
        elif kind == "finished":
            choice = choices[event.finished.choice_index]
            assert choice.finished is None
            choice.finished = event.finished
            ends.append(event.finished)
    assert [end.HasField("usage") for end in ends] == [False] * (len(ends) - 1) + [True]
    assert [end.HasField("timings") for end in ends] == [False] * (len(ends) - 1) + [True]
    assert events[-1].HasField("finished")
    return choices


def choice_bits(choice):
    """As bits(), of one choice of a unary answer."""
    return bits(Folded(text=choice.text, token_ids=list(choice.token_ids), logprobs=list(choice.logprobs)))
