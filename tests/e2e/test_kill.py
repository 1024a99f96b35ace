"""kill -9 while many stream, twice, then a drain without grace, and a new server on the same port each time: clients that
send their requests again with what they have end with exactly the text, tokens and log-probabilities of an undisturbed
run."""

import concurrent.futures
import json
import random
import signal
import threading
import time

import pytest

from generation import Folded, bits, fold_choices, generate_request
from server_process import ServerProcess
from surviving_client import connect, surviving_stream

import grpc

from hocket.v1 import generation_pb2 as pb

COPY = "The red fox ran to the river and the old bear slept under the tall tree. " * 6
LONG = {"max_new_tokens": 260, "ignore_eos": True}
PEOPLE = json.dumps({"type": "array", "minItems": 12, "maxItems": 12, "items": {
    "type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"], "additionalProperties": False}})

# What is said, and what makes it hard to go on in its middle.
KINDS = {
    "plain": {"stopping": LONG},
    "two choices": {"choices": {"n": 2}, "stopping": LONG},
    "characters of several tokens": {"constraint": {"regex": "([🦊🐻🐢]|é|こ){60,}"}, "stopping": LONG},
    "two choices of such characters": {"choices": {"n": 2}, "constraint": {"regex": "([🦊🐻🐢]|é|こ){60,}"}, "stopping": LONG},
    "stops of which parts appear": {"stopping": {**LONG, "stop_strings": ["the never", " and never", "a never", " was never",
                                                                         ". never", "e never", " said never"]}},
    "two choices with such stops": {"choices": {"n": 2}, "stopping": {**LONG, "stop_strings": [
        "the never", " and never", "a never", ". never", " little never", "e never"]}},
    "a stop that comes": {"choices": {"n": 2}, "stopping": {**LONG, "stop_strings": ["water", "garden", "mother"]}},
    "guesses": {"text": COPY, "speculation": {"prompt_lookup": True, "max_draft_tokens": 8}, "stopping": LONG,
                "sampling": {"temperature": 0.3}},
    "guesses in two choices": {"text": COPY, "choices": {"n": 2}, "stopping": {**LONG, "stop_strings": ["tall never", "e never"]},
                               "speculation": {"prompt_lookup": True, "max_draft_tokens": 8}, "sampling": {"temperature": 0.5}},
    "a constraint": {"constraint": {"json_schema": PEOPLE}, "stopping": {"max_new_tokens": 700}},
    "penalties": {"sampling": {"temperature": 1.0, "repetition_penalty": 1.2, "dry": {"multiplier": 0.8}}, "stopping": LONG},
}
SCORED = {"output": {"top_logprobs": 2}}


def requests_of(seed):
    """20 requests: each kind about twice, with seeds of their own."""
    names = (list(KINDS) * 2)[:20]
    made = []
    for index, name in enumerate(names):
        fields = {**SCORED, **KINDS[name]}
        fields["sampling"] = {"temperature": 0.9, **fields.get("sampling", {}), "seed": 1000 * seed + index}
        made.append((name, generate_request(**{"text": f"Once upon a time, on day {index},", **fields})))
    return made


class Reader(threading.Thread):
    """A client that reads one answer through whatever happens."""

    def __init__(self, target, request, by_tokens):
        super().__init__(daemon=True)
        self.request, self.by_tokens = request, by_tokens
        self.choices = [Folded() for _ in range(max(1, request.choices.n))]
        self.tokens, self.breaks, self.failure = 0, 0, None
        self._channel, self._stub = connect(target)

    def run(self):
        try:
            for event in self._events():
                if event.HasField("delta"):
                    choice = self.choices[event.delta.choice_index]
                    choice.text += event.delta.text
                    choice.token_ids.extend(event.delta.token_ids)
                    choice.logprobs.extend(event.delta.logprobs)
                    self.tokens += len(event.delta.token_ids)
                elif event.HasField("finished"):
                    self.choices[event.finished.choice_index].finished = event.finished
        except Exception as failure:  # Told by the test.
            self.failure = failure
        finally:
            self._channel.close()

    def _events(self):
        return self._by_generated_tokens() if self.by_tokens else surviving_stream(self._stub, self.request)

    def _by_generated_tokens(self):
        """Without an id, from the tokens of the one choice. Where they are all, the end alone is missing, and only
        token_offsets can ask for that."""
        sent = pb.GenerateRequest()
        sent.CopyFrom(self.request)
        had = []
        while True:
            try:
                for event in self._stub.StreamGenerate(sent, wait_for_ready=True, timeout=60):
                    had.extend(event.delta.token_ids)
                    yield event
                return
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.INVALID_ARGUMENT and "leave nothing" in error.details():
                    sent.resume.Clear()
                    sent.resume.token_offsets.append(len(had))
                    continue
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                if had:
                    sent.resume.generated_tokens[:] = had
                time.sleep(0.05)


def end_when(server, signal_name, readers, tokens, limit_s=60):
    """Ends the server once so many tokens have come; returns how many answers that cut in their middle."""
    give_up = time.monotonic() + limit_s
    while sum(reader.tokens for reader in readers) < tokens:
        assert time.monotonic() < give_up, [reader.failure for reader in readers if reader.failure]
        time.sleep(0.002)
    server.process.send_signal(getattr(signal, signal_name))
    cut = sum(reader.is_alive() and reader.tokens > 0 for reader in readers)
    server.wait()
    return cut


@pytest.mark.parametrize("seed", [1])
def test_answers_survive_two_kills_and_a_shutdown_to_the_last_bit(stub, seed):
    moments = random.Random(seed)
    named = requests_of(seed)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        expected = list(pool.map(lambda pair: fold_choices(stub.StreamGenerate(pair[1], timeout=120)), named))
    total = sum(len(choice.token_ids) for choices in expected for choice in choices)
    server = ServerProcess("--drain-seconds", "0")
    try:
        readers = [Reader(server.target, request, by_tokens=index % 2 == 0 and request.choices.n < 2)
                   for index, (_, request) in enumerate(named)]
        for reader in readers:
            reader.start()
        for low, high, signal_name in ((0.05, 0.2, "SIGKILL"), (0.3, 0.5, "SIGKILL"), (0.6, 0.75, "SIGTERM")):
            cut = end_when(server, signal_name, readers, moments.uniform(low, high) * total)
            assert cut >= 5, "the end came when most had ended: this shows nothing"
            server = ServerProcess("--drain-seconds", "0", "--listen", server.target)
        for reader in readers:
            reader.join(120)
    finally:
        server.kill()
    assert not [reader.failure for reader in readers if reader.failure]
    wrong = [(name, index) for (name, _), reader, choices in zip(named, readers, expected)
             for index, choice in enumerate(choices)
             if bits(reader.choices[index]) != bits(choice)
             or reader.choices[index].finished is None
             or reader.choices[index].finished.finish_reason != choice.finished.finish_reason]
    assert not wrong
    assert total > 5000 and len(named) == 20
