"""Cancel, deadline, determinism in a busy batch, drain, and a kill in the middle."""

import concurrent.futures
import re
import threading
import time
import urllib.request

import pytest

from generation import bits, fold, generate_request
from server_process import ServerProcess

import grpc

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2, hocket_pb2_grpc

LONG = {"max_new_tokens": 900, "ignore_eos": True}


def gauge(server, name):
    text = urllib.request.urlopen(f"http://{server.metrics}/metrics").read().decode()
    values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    assert values, name
    return sum(map(float, values))


def await_idle(server, timeout_s=5):
    deadline = time.monotonic() + timeout_s
    while gauge(server, "hocket_requests_running") or gauge(server, "hocket_kv_blocks_used"):
        assert time.monotonic() < deadline, "blocks or sequences were left behind"
        time.sleep(0.02)


def test_client_gone_frees_its_sequence(server, stub):
    stream = stub.StreamGenerate(generate_request(stopping=LONG))
    next(stream), next(stream)
    stream.cancel()
    await_idle(server)


def test_cancel_by_id_ends_the_call(server, stub):
    stream = stub.StreamGenerate(generate_request(request_id="doomed", stopping=LONG))
    next(stream), next(stream)
    assert stub.Cancel(hocket_pb2.CancelRequest(request_id="doomed")).found
    with pytest.raises(grpc.RpcError) as error:
        for _ in stream:
            pass
    assert error.value.code() == grpc.StatusCode.CANCELLED
    assert not stub.Cancel(hocket_pb2.CancelRequest(request_id="doomed")).found
    await_idle(server)


def test_deadline_ends_the_call(server, stub):
    with pytest.raises(grpc.RpcError) as error:
        for _ in range(100):  # A fast machine may finish one in time.
            stub.Generate(generate_request(stopping=LONG), timeout=0.1)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await_idle(server)


def test_duplicate_request_id_is_refused_and_harms_nobody(server, stub):
    request = generate_request(request_id="twin", stopping=LONG)
    stream = stub.StreamGenerate(request)
    next(stream)
    with pytest.raises(grpc.RpcError) as error:
        stub.Generate(generate_request("Another text", request_id="twin", stopping=LONG))
    assert error.value.code() == grpc.StatusCode.ALREADY_EXISTS
    next(stream)
    stream.cancel()
    await_idle(server)


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_seeded_request_is_bitwise_the_same_alone_and_in_a_busy_batch(precision):
    """Tokens, text and log-probabilities, with other lengths, joins, leaves, small chunks and
    preemption (few blocks) around it, on another thread count."""
    watched = [generate_request(text=text, sampling={"temperature": 0.9, "top_p": 0.95, "seed": seed},
                                stopping={"max_new_tokens": 80},
                                output={"top_logprobs": 4, "prompt_top_logprobs": 1})
               for seed, text in enumerate(["Once upon a time", "The bear " * 60, "A"])]
    with ServerProcess("--precision", precision, "--threads", "1") as quiet:
        with grpc.insecure_channel(quiet.target) as channel:
            stub = hocket_pb2_grpc.HocketStub(channel)
            alone = [fold(stub.StreamGenerate(request)) for request in watched]
    with ServerProcess("--precision", precision, "--threads", "2", "--max-step-tokens", "48") as busy:
        with grpc.insecure_channel(busy.target) as channel:
            stub = hocket_pb2_grpc.HocketStub(channel)
            stop = threading.Event()

            def neighbour(index):
                turn = 0
                while not stop.is_set():
                    turn += 1
                    fold(stub.StreamGenerate(generate_request(
                        text="word " * (1 + (37 * index + 11 * turn) % 150),
                        sampling={"temperature": 1.0},
                        stopping={"max_new_tokens": 1 + (13 * index + turn) % 40})))
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                neighbours = [pool.submit(neighbour, index) for index in range(9)]
                for _ in range(2):
                    for request, expected in zip(watched, alone):
                        answer = fold(stub.StreamGenerate(request))
                        assert bits(answer) == bits(expected)
                        assert answer.prompt_scores == expected.prompt_scores
                stop.set()
                for done in neighbours:
                    done.result()


def test_few_blocks_preempt_and_every_answer_is_the_same(stub):
    requests = [generate_request(sampling={"temperature": 1.0, "seed": seed},
                                 stopping={"max_new_tokens": 200, "ignore_eos": True},
                                 output={"logprobs": True}) for seed in range(8)]
    expected = [bits(fold(stub.StreamGenerate(request))) for request in requests]
    with ServerProcess("--kv-cache-bytes", "2MiB") as small:
        with grpc.insecure_channel(small.target) as channel:
            own = hocket_pb2_grpc.HocketStub(channel)
            blocks = own.GetModel(hocket_pb2.GetModelRequest()).model.kv_blocks
            assert blocks * 16 < 8 * 200, "the test needs fewer blocks than the requests together"
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda r: bits(fold(own.StreamGenerate(r))), requests))
            assert answers == expected
            assert gauge(small, "hocket_preemptions_total") > 0


def test_health_and_reflection_answer(server):
    from google.protobuf import descriptor_pb2  # noqa: F401
    with grpc.insecure_channel(server.target) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check",
                                    request_serializer=lambda b: b, response_deserializer=bytes)
        assert check(b"", timeout=5) == b"\x08\x01"  # status: SERVING
        listing = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/"
                                        "ServerReflectionInfo", request_serializer=lambda b: b,
                                        response_deserializer=bytes)
        answer = next(listing(iter([b"\x3a\x00"]), timeout=5))  # list_services: ""
        assert b"hocket.v1.Hocket" in answer


def test_sigterm_drains_running_streams_and_refuses_new_ones():
    server = ServerProcess("--drain-seconds", "30")
    with grpc.insecure_channel(server.target) as channel:
        stub = hocket_pb2_grpc.HocketStub(channel)
        stream = stub.StreamGenerate(generate_request(sampling={"temperature": 0.0}, stopping=LONG))
        next(stream), next(stream)
        server.terminate()
        with pytest.raises(grpc.RpcError) as error:
            for _ in range(50):
                stub.Generate(generate_request(stopping={"max_new_tokens": 1}), timeout=5)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        rest = fold(stream)
        assert rest.finished.finish_reason == pb.FINISH_REASON_LENGTH
        assert rest.finished.usage.generated_tokens == LONG["max_new_tokens"]
    assert server.wait(30) == 0


def test_drain_past_its_grace_period_ends_with_shutdown():
    server = ServerProcess("--drain-seconds", "0")
    with grpc.insecure_channel(server.target) as channel:
        stub = hocket_pb2_grpc.HocketStub(channel)
        stream = stub.StreamGenerate(generate_request(stopping=LONG))
        next(stream), next(stream)
        server.terminate()
        finished = None
        with pytest.raises(grpc.RpcError) as error:
            for event in stream:
                if event.WhichOneof("event") == "finished":
                    finished = event.finished
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        assert finished is None or finished.finish_reason == pb.FINISH_REASON_SHUTDOWN
    assert server.wait(30) == 0


def test_kill_in_the_middle_ends_the_stream_and_the_port_is_free_again():
    server = ServerProcess()
    with grpc.insecure_channel(server.target) as channel:
        stream = hocket_pb2_grpc.HocketStub(channel).StreamGenerate(generate_request(stopping=LONG))
        next(stream), next(stream)
        server.kill()
        with pytest.raises(grpc.RpcError) as error:
            for _ in stream:
                pass
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    with ServerProcess("--listen", server.target) as again:
        assert again.target == server.target


def test_slow_reader_loses_nothing_and_delays_nobody(server, stub):
    request = generate_request(sampling={"temperature": 0.8, "seed": 2}, stopping=LONG)
    expected = fold(stub.StreamGenerate(request))
    slow = stub.StreamGenerate(request)
    next(slow)
    time.sleep(0.5)
    start = time.monotonic()
    stub.Generate(generate_request(stopping={"max_new_tokens": 5}))
    assert time.monotonic() - start < 5
    rest = fold(slow)
    assert rest.text == expected.text and rest.token_ids == expected.token_ids
