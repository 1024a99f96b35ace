"""A stream that a shutdown ends goes on at another replica, bit for bit."""

import pytest

from generation import fold, generate_request
from server_process import ServerProcess

import grpc

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2_grpc

SETTINGS = {"sampling": {"seed": 77, "temperature": 0.8}, "output": {"logprobs": True},
            "stopping": {"max_new_tokens": 900, "ignore_eos": True}}


def scores(answer):
    return [(s.token_id, s.logprob) for s in answer.logprobs]


def test_what_a_drain_ends_goes_on_elsewhere(stub):
    whole = fold(stub.StreamGenerate(generate_request(**SETTINGS)))
    events = []
    with ServerProcess("--drain-seconds", "0") as own, \
            grpc.insecure_channel(own.target) as channel:
        dying = hocket_pb2_grpc.HocketStub(channel)
        call = dying.Generate.future(generate_request(**SETTINGS))
        stream = dying.StreamGenerate(generate_request(**SETTINGS))
        events += [next(stream), next(stream), next(stream)]
        own.terminate()
        with pytest.raises(grpc.RpcError) as error:
            for event in stream:
                events.append(event)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        unary = pb.Resume.FromString(dict(call.trailing_metadata())["hocket-resume-bin"])
        own.wait(30)
    first = fold(events)
    assert first.finished.finish_reason == pb.FINISH_REASON_SHUTDOWN
    resume = first.finished.resume
    assert list(resume.generated_tokens) == first.token_ids and 0 < len(first.token_ids) < 900

    settings = {**SETTINGS, "sampling": first.started.settings.sampling}
    second = fold(stub.StreamGenerate(generate_request(resume=resume, **settings)))
    assert first.token_ids + second.token_ids == whole.token_ids
    assert first.text + second.text == whole.text
    assert scores(first) + scores(second) == scores(whole)
    assert second.finished.usage.generated_tokens == len(second.token_ids)

    tokens = list(unary.generated_tokens)
    assert tokens == whole.token_ids[:len(tokens)]


def test_a_resume_that_leaves_nothing_is_refused(stub):
    settings = {**SETTINGS, "stopping": {"max_new_tokens": 5, "ignore_eos": True}}
    answer = stub.Generate(generate_request(**settings))
    with pytest.raises(grpc.RpcError) as error:
        stub.Generate(generate_request(
            resume={"generated_tokens": answer.choices[0].token_ids}, **settings))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "leave nothing" in error.value.details()
