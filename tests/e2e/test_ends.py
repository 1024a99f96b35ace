"""Why a choice ends, each reason provoked; and that a cancel and a deadline end one within a step, its prompt included."""

import threading
import time

import pytest

from generation import fold, fold_choices, generate_request
from raw_http2 import DATA, END_STREAM, HEADERS, RawConnection, frame
from server_process import ServerProcess
from test_lifecycle import await_idle

import grpc

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2, hocket_pb2_grpc

GREEDY = {"sampling": {"temperature": 0}}
FOREVER = {"stopping": {"max_new_tokens": 1000000, "ignore_eos": True}, "context": {"policy": pb.CONTEXT_POLICY_ROLL}}
PROMPT_LIMIT_S = 1.0  # "Within a step", with room for a crowded machine. A step takes some milliseconds.

ENDS = {
    pb.FINISH_REASON_STOP_TOKEN: {"sampling": {"temperature": 0, "allowed_tokens": [300]},
                                  "stopping": {"max_new_tokens": 9, "stop_tokens": [300]}},
    pb.FINISH_REASON_STOP_STRING: {**GREEDY, "stopping": {"max_new_tokens": 200, "stop_strings": ["never there", "."]}},
    pb.FINISH_REASON_LENGTH: {**GREEDY, "stopping": {"max_new_tokens": 7, "ignore_eos": True}},
    pb.FINISH_REASON_CONTEXT: {**GREEDY, "tokens": {"ids": [40] * 1000}, "context": {"policy": pb.CONTEXT_POLICY_STOP},
                               "stopping": {"max_new_tokens": 500, "ignore_eos": True}},
    pb.FINISH_REASON_CONSTRAINT: {**GREEDY, "constraint": {"choice": {"choices": ["north", "south"]}}},
    pb.FINISH_REASON_SENTENCE: {**GREEDY, "stopping": {"max_new_tokens": 200, "stop_at_sentence_end": True}},
    pb.FINISH_REASON_TIME_LIMIT: {**GREEDY, **FOREVER, "stopping": {**FOREVER["stopping"], "time_limit": {"nanos": 50_000_000}}},
    pb.FINISH_REASON_REPETITION: {"sampling": {"temperature": 0, "allowed_tokens": [5, 6]},
                                  "stopping": {"max_new_tokens": 99, "repetition_detection": {"max_pattern_tokens": 2}}},
}


@pytest.mark.parametrize("reason", ENDS, ids=pb.FinishReason.Name)
@pytest.mark.parametrize("more", [{}, {"speculation": {"prompt_lookup": True}}], ids=["", "guessing"])
def test_each_reason_is_told_with_what_belongs_to_it(stub, reason, more):
    ended = fold(stub.StreamGenerate(generate_request(**ENDS[reason], **more), timeout=30)).finished
    assert ended.finish_reason == reason
    assert ended.HasField("stop_string") == (reason == pb.FINISH_REASON_STOP_STRING)
    assert ended.HasField("stop_token") == (reason == pb.FINISH_REASON_STOP_TOKEN)
    assert ended.stop_string in ("", ".") and ended.stop_token in (0, 300)
    if reason == pb.FINISH_REASON_CONTEXT:
        model = stub.GetModel(hocket_pb2.GetModelRequest()).model
        assert ended.usage.prompt_tokens + ended.usage.generated_tokens == model.max_context_tokens


def test_the_models_own_end_is_a_stop_token_of_the_models(stub):
    ends = set(stub.GetModel(hocket_pb2.GetModelRequest()).model.end_of_text_tokens)
    answer = stub.Generate(generate_request(sampling={"temperature": 0.7, "seed": 2}, stopping={"max_new_tokens": 500}))
    choice = answer.choices[0]
    assert choice.finish_reason == pb.FINISH_REASON_STOP_TOKEN and choice.stop_token in ends
    assert choice.stop_token == choice.token_ids[-1] and len(choice.token_ids) == answer.usage.generated_tokens
    # The same request, its end not an end, goes on.
    longer = stub.Generate(generate_request(sampling={"temperature": 0.7, "seed": 2}, stopping={
        "max_new_tokens": len(choice.token_ids) + 5, "ignore_eos": True})).choices[0]
    assert longer.finish_reason == pb.FINISH_REASON_LENGTH and longer.token_ids[:len(choice.token_ids)] == choice.token_ids


def test_choices_end_each_for_its_own_reason(stub):
    choices = fold_choices(stub.StreamGenerate(generate_request(
        sampling={"temperature": 1.2, "seed": 5}, choices={"n": 16}, stopping={"max_new_tokens": 25, "stop_strings": [" and"]})))
    reasons = {choice.finished.finish_reason for choice in choices}
    assert {pb.FINISH_REASON_STOP_STRING, pb.FINISH_REASON_LENGTH} <= reasons
    for choice in choices:
        stopped = choice.finished.finish_reason == pb.FINISH_REASON_STOP_STRING
        assert choice.finished.HasField("stop_string") == stopped and " and" not in choice.text


# Takes some 120 steps for a prompt of 1,000 tokens, so that calls can be caught in the middle of one.
SLOW = ("--threads", "1", "--precision", "f32", "--max-step-tokens", "8", "--no-prefix-cache", "--max-running-sequences", "16")


@pytest.fixture(scope="module")
def slow():
    with ServerProcess(*SLOW) as process, grpc.insecure_channel(process.target) as channel:
        yield process, hocket_pb2_grpc.HocketStub(channel)


def long_prompt(index, tokens, **fields):
    return generate_request(tokens={"ids": [40 + (index + at) % 200 for at in range(tokens)]},
                            stopping={"max_new_tokens": 1}, **fields)


def flood(stub, count=8):
    """So many long prompts, all at once."""
    return [stub.Generate.future(long_prompt(index, 500, scheduling={"priority": pb.PRIORITY_CLASS_BATCH}))
            for index in range(count)]


def end_of(call, began):
    """How a stream ends, how long after `began`, and what came of it."""
    events = []
    with pytest.raises(grpc.RpcError) as error:
        for event in call:
            events.append(event)
    return error.value.code(), time.monotonic() - began, events


CAUGHT = {
    "in its prompt": long_prompt(99, 1000, scheduling={"priority": pb.PRIORITY_CLASS_INTERACTIVE}),
    "waiting": long_prompt(99, 1000, scheduling={"priority": pb.PRIORITY_CLASS_BATCH}),
    "decoding": generate_request(scheduling={"priority": pb.PRIORITY_CLASS_INTERACTIVE}, **FOREVER),
}


@pytest.mark.parametrize("where", CAUGHT)
def test_a_cancel_takes_effect_within_a_step(slow, where):
    process, stub = slow
    others = flood(stub)
    CAUGHT[where].request_id = where
    stream = stub.StreamGenerate(CAUGHT[where])
    seen = [next(stream)] if where != "waiting" else []
    if where == "decoding":
        seen.append(next(stream))
    elif where == "waiting":
        time.sleep(0.02)  # It has arrived, behind all others.
    began = time.monotonic()
    assert stub.Cancel(hocket_pb2.CancelRequest(request_id=where)).found
    unfinished = sum(not call.done() for call in others)
    code, seconds, rest = end_of(stream, began)
    assert code == grpc.StatusCode.CANCELLED and seconds < PROMPT_LIMIT_S
    assert unfinished > 0, "the cancel came too late to show anything"
    assert any(event.HasField("delta") for event in seen + rest) == (where == "decoding")
    for call in others:
        assert call.result().usage.generated_tokens == 1
    await_idle(process)


@pytest.mark.parametrize("where", ["in its prompt", "decoding"])
def test_a_deadline_takes_effect_within_a_step(slow, where):
    process, stub = slow
    others = flood(stub) if where == "in its prompt" else []
    sent = CAUGHT["waiting"] if others else generate_request(**FOREVER)
    sent.request_id = ""
    for limit_s in (0.1, 0.05, 0.02):  # A fast machine may be done in time.
        began = time.monotonic()
        try:
            for _ in stub.StreamGenerate(sent, timeout=limit_s):
                pass
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            assert time.monotonic() - began < limit_s + PROMPT_LIMIT_S
            break
    else:
        pytest.fail("no deadline passed")
    for call in others:
        call.result()
    await_idle(process)


@pytest.mark.parametrize("hours", [2_000_000, 2_300_000, 99_999_999])
def test_a_deadline_in_centuries_is_as_good_as_none(server, hours):
    """Also one that has no place in 64 bits of nanoseconds, which end in 2262. Python's own client sends none."""
    message = generate_request(stopping={"max_new_tokens": 2}).SerializeToString()
    with RawConnection(server.target) as connection:
        connection.greet()
        connection.call(1, "/hocket.v1.Hocket/Generate", ("grpc-timeout", f"{hours}H"))
        connection.send(frame(DATA, b"\0" + len(message).to_bytes(4, "big") + message, END_STREAM, 1))
        kinds = []
        for kind, flags, stream, _ in connection.frames(10):
            kinds += [kind] if stream == 1 else []
            if kind == HEADERS and flags & END_STREAM:
                break
        assert kinds == [HEADERS, DATA, HEADERS]


def test_a_cancel_of_what_is_unknown_finds_nothing_and_harms_nobody(stub):
    stream = stub.StreamGenerate(generate_request(request_id="here", **FOREVER))
    next(stream)
    for name in ("not here", "her", "here ", "HERE"):
        assert not stub.Cancel(hocket_pb2.CancelRequest(request_id=name)).found
    next(stream)
    assert stub.Cancel(hocket_pb2.CancelRequest(request_id="here")).found
    assert end_of(stream, 0)[0] == grpc.StatusCode.CANCELLED


def test_many_cancels_at_once_find_each_request_and_no_other(server, stub):
    streams = {f"crowd-{index}": stub.StreamGenerate(generate_request(request_id=f"crowd-{index}", **FOREVER)) for index in range(12)}
    for stream in streams.values():
        next(stream)
    found = {}

    def cancel(name):
        found[name] = stub.Cancel(hocket_pb2.CancelRequest(request_id=name)).found

    threads = [threading.Thread(target=cancel, args=(name,)) for name in list(streams)[::2]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found.values()) and len(found) == 6
    for index, (name, stream) in enumerate(streams.items()):
        if index % 2:
            next(stream)
            assert stub.Cancel(hocket_pb2.CancelRequest(request_id=name)).found
        assert end_of(stream, 0)[0] == grpc.StatusCode.CANCELLED
    await_idle(server)
