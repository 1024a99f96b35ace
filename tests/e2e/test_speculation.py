"""Prompt lookup through the real server: the same answers to the last bit, sooner where text repeats."""

import json
import subprocess
import time

import pytest

from busy import neighbours
from generation import bits, choice_bits, fold, fold_choices, generate_request
from server_process import BINARY, ServerProcess
from test_lifecycle import gauge

import grpc

from hocket.v1 import hocket_pb2_grpc

COPY = "The red fox ran to the river and the old bear slept under the tall tree. " * 8
OFF = {"prompt_lookup": False}
LOOKUP = {"prompt_lookup": True, "max_draft_tokens": 8}
PERSON = json.dumps({"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}},
                     "required": ["name"], "additionalProperties": False})

SETTINGS = [
    {"sampling": {"temperature": 0}},
    {"sampling": {"temperature": 0.7, "seed": 5}},
    {"sampling": {"temperature": 1.0, "top_p": 0.9, "min_p": 0.05, "seed": 5}},
    {"sampling": {"temperature": 0.8, "repetition_penalty": 1.1, "frequency_penalty": 0.2, "seed": 5}},
    {"sampling": {"temperature": 0.8, "dry": {"multiplier": 0.8}, "bad_words": ["bear"], "seed": 5}},
    {"sampling": {"temperature": 1, "xtc": {"probability": 0.5, "threshold": 0.1}, "seed": 5}},
    {"sampling": {"temperature": 0}, "stopping": {"stop_strings": ["tall tree"], "min_new_tokens": 4}},
    {"sampling": {"temperature": 0}, "stopping": {"repetition_detection": {"min_repeats": 3}}},
    {"sampling": {"temperature": 0.9, "seed": 5}, "constraint": {"json_schema": PERSON}},
    {"sampling": {"temperature": 0.9, "seed": 5}, "stopping": {"stop_at_sentence_end": True}},
]


def request(fields, speculation, text=COPY):
    stopping = {"max_new_tokens": 100, **fields.get("stopping", {})}
    return generate_request(text=text, output={"top_logprobs": 2}, speculation=speculation,
                            **{**fields, "stopping": stopping})


@pytest.mark.parametrize("fields", SETTINGS)
def test_the_answer_is_bitwise_the_same_with_and_without(stub, fields):
    for text in (COPY, "Once upon a time"):
        plain = fold(stub.StreamGenerate(request(fields, OFF, text)))
        for drafts in (1, 4, 32):
            guessed = fold(stub.StreamGenerate(request(
                fields, {"prompt_lookup": True, "max_draft_tokens": drafts}, text)))
            assert bits(guessed) == bits(plain)
            assert guessed.finished.finish_reason == plain.finished.finish_reason
            assert guessed.finished.stop_string == plain.finished.stop_string
            assert guessed.finished.usage.generated_tokens == plain.finished.usage.generated_tokens


def test_a_busy_batch_of_several_choices_changes_nothing(stub):
    fields = {"sampling": {"temperature": 0.8, "seed": 9}, "choices": {"n": 3}}
    plain = [bits(choice) for choice in fold_choices(stub.StreamGenerate(request(fields, OFF)))]
    with neighbours(stub):
        for _ in range(3):
            guessed = stub.Generate(request(fields, LOOKUP))
            assert [choice_bits(choice) for choice in guessed.choices] == plain


DRAFTS = ("hocket_draft_tokens_total", "hocket_accepted_draft_tokens_total")


def settled(server, names, seconds=2):
    """The counters once two looks agree: the last step's come after the answer."""
    deadline = time.monotonic() + seconds
    before = None
    while True:
        now = [gauge(server, name) for name in names]
        if now == before or time.monotonic() > deadline:
            return now
        before = now
        time.sleep(0.05)


def test_guesses_are_counted_and_right_where_only_one_token_may_come():
    """Whether guesses pay is judged by measured times, so a crowded machine gets another try."""
    fields = {"sampling": {"temperature": 0, "allowed_tokens": [5]},
              "stopping": {"max_new_tokens": 200, "ignore_eos": True}}
    for _ in range(3):
        with ServerProcess("--precision", "f32") as own, grpc.insecure_channel(own.target) as channel:
            answer = hocket_pb2_grpc.HocketStub(channel).Generate(request(fields, LOOKUP))
            assert list(answer.choices[0].token_ids) == [5] * 200
            proposed, accepted = settled(own, DRAFTS)
        assert accepted == proposed < 200
        if proposed > 20:
            return
    pytest.fail("nothing was guessed in any of three servers")


def test_without_it_nothing_is_guessed(server, stub):
    before = settled(server, DRAFTS)
    answer = stub.Generate(request({"sampling": {"temperature": 0}}, OFF))
    assert not answer.settings.speculation.prompt_lookup
    assert settled(server, DRAFTS) == before


def test_the_servers_default_holds_where_a_request_does_not_say(stub):
    fields = {"sampling": {"temperature": 0}}
    assert not stub.Generate(request(fields, {})).settings.speculation.prompt_lookup
    plain = choice_bits(stub.Generate(request(fields, OFF)).choices[0])
    with ServerProcess("--speculation", "prompt-lookup") as own, grpc.insecure_channel(own.target) as channel:
        speculating = hocket_pb2_grpc.HocketStub(channel)
        answer = speculating.Generate(request(fields, {}))
        assert answer.settings.speculation.prompt_lookup and answer.settings.speculation.max_draft_tokens == 8
        assert choice_bits(answer.choices[0]) == plain
        beams = speculating.Generate(generate_request(beam_search={"width": 2}, stopping={"max_new_tokens": 4}))
        assert not beams.settings.speculation.prompt_lookup


def test_the_command_line_has_it_too():
    flags = [BINARY, "generate", "--prompt", COPY, "--temperature", "0", "--max-new-tokens", "60", "--quiet"]
    plain = subprocess.run(flags, capture_output=True, text=True, timeout=120)
    guessed = subprocess.run([*flags, "--speculation", "prompt-lookup", "--max-draft-tokens", "6"],
                             capture_output=True, text=True, timeout=120)
    assert guessed.returncode == 0, guessed.stderr
    assert guessed.stdout == plain.stdout
