"""The same calls from Go, Node and Java, with stubs made from proto/: every language gets the same bits as Python.

A client (clients/LANGUAGE) makes its calls and prints one line of JSON: what it saw. Here is what it must be.
"""

import json
import re
import struct
import subprocess

import pytest

from client_builds import LANGUAGES, CannotBuild, command_of
from generation import fold_choices, generate_request

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2

pytestmark = pytest.mark.timeout(900)  # The first run builds the clients.

STORY = {"sampling": {"temperature": 0.9, "top_p": 0.95, "seed": 2**64 - 7}, "stopping": {"max_new_tokens": 64},
         "output": {"top_logprobs": 2}}
PAIR = {**STORY, "stopping": {"max_new_tokens": 200, "ignore_eos": True}, "choices": {"n": 2}}


def bits_of(value):
    return struct.unpack("I", struct.pack("f", value))[0]


def line_of(choice, finish_reason):
    """As a client prints a choice."""
    bits = [bits_of(value) for score in choice.logprobs
            for value in (score.logprob, *(alternative.logprob for alternative in score.top))]
    return {"text": choice.text, "token_ids": list(choice.token_ids), "logprob_bits": bits,
            "finish_reason": pb.FinishReason.Name(finish_reason)}


def streamed(stub, fields):
    return [line_of(choice, choice.finished.finish_reason)
            for choice in fold_choices(stub.StreamGenerate(generate_request(**fields)))]


def upper_snake(code):
    """INVALID_ARGUMENT for Go's InvalidArgument; other languages say it as it is."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", code).upper().replace("CANCELED", "CANCELLED")


@pytest.fixture(scope="module", params=sorted(LANGUAGES))
def seen(request, server):
    """What a client saw."""
    try:
        command = command_of(request.param, server.target)
    except CannotBuild as reason:
        pytest.skip(f"{request.param}: {reason}")
    ran = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def story(stub):
    return streamed(stub, STORY)[0]


def test_streamed_and_unary_and_repeated_answers_have_pythons_bits(seen, story):
    assert len(story["token_ids"]) > 8 and len(story["logprob_bits"]) == 3 * len(story["token_ids"])
    assert seen["streamed"] == story
    assert seen["unary"] == story
    assert seen["repeated"] == story, "the settings told, sent again"
    assert seen["generated"] == len(story["token_ids"])


def test_settings_and_the_model_are_told(seen, stub):
    assert (seen["seed"], seen["max_new"], seen["top_logprobs"]) == (str(2**64 - 7), 64, 2)
    assert seen["top_p_bits"] == bits_of(0.95)
    model = stub.GetModel(hocket_pb2.GetModelRequest()).model
    assert (seen["model"], seen["vocabulary"]) == (model.name, model.vocabulary_size)
    assert seen["round_trip"] == "A naïve café 🦊 said “hello”."


def test_a_bad_field_is_named_and_a_deadline_kept_to(seen):
    assert upper_snake(seen["refused"]["code"]) == "INVALID_ARGUMENT"
    assert "sampling.top_p" in seen["refused"]["message"]
    assert seen["refused"]["reason"] == "INVALID_FIELD"
    assert upper_snake(seen["late"]["code"]) == "DEADLINE_EXCEEDED"


def test_another_connection_cancels(seen):
    end = seen["cancelled"]
    assert end["found"] is True
    assert upper_snake(end["code"]) == "CANCELLED"
    assert end["finish_reason"] == "FINISH_REASON_CANCELLED"


def test_a_broken_stream_goes_on_over_another_connection(seen, stub):
    assert seen["broken"] == streamed(stub, PAIR)
