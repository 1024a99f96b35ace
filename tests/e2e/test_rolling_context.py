"""Answers longer than the context, through the real server."""

import concurrent.futures
import subprocess

import pytest

from busy import neighbours
from generation import bits, choice_bits, fold, fold_choices, generate_request
from server_process import BINARY, ServerProcess
from test_lifecycle import await_idle, gauge

import grpc

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2, hocket_pb2_grpc

PROMPT = "Once upon a time a fox and a bear went down to the river."


def rolling(tokens=2600, kept=0, speculation=None, **fields):
    return generate_request(
        text=fields.pop("text", PROMPT), context={"policy": pb.CONTEXT_POLICY_ROLL, "kept_tokens": kept},
        stopping={"max_new_tokens": tokens, "ignore_eos": True},
        sampling=fields.pop("sampling", {"temperature": 0.9, "seed": 13}), speculation=speculation,
        **fields)


@pytest.fixture(scope="module")
def context(stub):
    return stub.GetModel(hocket_pb2.GetModelRequest()).model.max_context_tokens


@pytest.fixture(scope="module")
def long_answer(stub):
    return fold(stub.StreamGenerate(rolling(kept=8, output={"logprobs": True})))


def test_an_answer_goes_on_beyond_the_context(stub, long_answer, context):
    assert long_answer.finished.finish_reason == pb.FINISH_REASON_LENGTH
    assert len(long_answer.token_ids) == long_answer.finished.usage.generated_tokens == 2600 > 2 * context
    assert long_answer.started.settings.context.policy == pb.CONTEXT_POLICY_ROLL
    assert long_answer.started.settings.context.kept_tokens == 8
    assert long_answer.text.strip()


def test_until_the_context_is_full_it_is_the_plain_answer(stub, long_answer, context):
    room = context - long_answer.started.prompt_tokens
    plain = stub.Generate(generate_request(
        text=PROMPT, sampling={"temperature": 0.9, "seed": 13}, output={"logprobs": True},
        stopping={"max_new_tokens": room, "ignore_eos": True})).choices[0]
    assert list(plain.token_ids) == long_answer.token_ids[:room]
    assert list(plain.logprobs) == long_answer.logprobs[:room]


def test_it_is_bitwise_the_same_in_a_busy_batch_with_few_blocks_and_with_guesses(stub, long_answer):
    expected = bits(long_answer)
    watched = rolling(kept=8, output={"logprobs": True})
    with neighbours(stub, count=2):
        assert bits(fold(stub.StreamGenerate(watched))) == expected
    guessed = rolling(kept=8, output={"logprobs": True}, speculation={"prompt_lookup": True})
    assert bits(fold(stub.StreamGenerate(guessed))) == expected
    with ServerProcess("--kv-cache-bytes", "3MiB", "--max-step-tokens", "48") as small, \
            grpc.insecure_channel(small.target) as channel:
        own = hocket_pb2_grpc.HocketStub(channel)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda _: bits(fold(own.StreamGenerate(watched))), range(3)))
        assert gauge(small, "hocket_preemptions_total") > 0
    assert answers == [expected] * 3


def test_kept_tokens_change_what_comes_after_the_first_roll_only(stub, long_answer, context):
    other = fold(stub.StreamGenerate(rolling(tokens=1600, kept=0, output={"logprobs": True})))
    room = context - other.started.prompt_tokens
    assert other.token_ids[:room] == long_answer.token_ids[:room]
    assert [s.logprob for s in other.logprobs] != [s.logprob for s in long_answer.logprobs[:1600]]


def test_several_choices_roll_each_for_itself(stub):
    answers = fold_choices(stub.StreamGenerate(rolling(tokens=1300, choices={"n": 2})))
    assert [len(choice.token_ids) for choice in answers] == [1300, 1300]
    alone = stub.Generate(rolling(tokens=1300)).choices[0]
    assert choice_bits(alone) == bits(answers[0])
    assert answers[0].token_ids != answers[1].token_ids


def test_the_prompts_scores_may_be_asked_for(stub):
    answer = stub.Generate(rolling(tokens=1100, output={"prompt_logprobs": True}))
    assert len(answer.prompt_scores) == answer.usage.prompt_tokens
    assert len(answer.choices[0].token_ids) == 1100


def test_cancel_after_a_roll_frees_everything(server, stub):
    stream = stub.StreamGenerate(rolling(tokens=100000, request_id="endless"))
    tokens = 0
    with pytest.raises(grpc.RpcError) as error:
        for event in stream:
            tokens += len(event.delta.token_ids)
            if tokens > 1200:
                stub.Cancel(hocket_pb2.CancelRequest(request_id="endless"))
    assert error.value.code() == grpc.StatusCode.CANCELLED
    await_idle(server)


def test_a_shutdown_after_a_roll_goes_on_elsewhere(stub, long_answer):
    watched = rolling(kept=8, output={"logprobs": True})
    events, tokens = [], 0
    with ServerProcess("--drain-seconds", "0") as own, grpc.insecure_channel(own.target) as channel:
        stream = hocket_pb2_grpc.HocketStub(channel).StreamGenerate(watched)
        while tokens < 1300:
            events.append(next(stream))
            tokens += len(events[-1].delta.token_ids)
        own.terminate()
        with pytest.raises(grpc.RpcError) as error:
            for event in stream:
                events.append(event)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        own.wait(30)
    first = fold(events)
    assert list(first.finished.resume.generated_tokens) == first.token_ids
    watched.resume.CopyFrom(first.finished.resume)
    second = fold(stub.StreamGenerate(watched))
    assert first.token_ids + second.token_ids == long_answer.token_ids
    assert first.logprobs + second.logprobs == long_answer.logprobs


@pytest.mark.parametrize("fields, words", [
    ({"tokens": 1000001}, ["stopping.max_new_tokens", "1000001", "[0, 1000000]"]),
    ({"kept": 513}, ["context.kept_tokens", "513", "[0, 512]"]),
    ({"text": "word " * 2000}, ["input", "context of 1024"]),
])
def test_what_cannot_be_is_refused_by_name(stub, fields, words):
    with pytest.raises(grpc.RpcError) as error:
        stub.Generate(rolling(**fields))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    for word in words:
        assert word in error.value.details()


def test_the_command_line_rolls_too(stub):
    flags = ["generate", "--prompt", PROMPT, "--max-new-tokens", 1200, "--ignore-eos", "--temperature", 0.9,
             "--seed", 13, "--context-policy", "roll", "--kept-tokens", 8, "--quiet"]
    done = subprocess.run([BINARY, *map(str, flags)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    served = stub.Generate(rolling(tokens=1200, kept=8)).choices[0]
    assert done.stdout.strip() == served.text.strip()
