"""Clients that stop in the middle of what they send hold nothing for long, and harm nobody."""

import contextlib
import threading
import time

import pytest

from error_details import Unsent, failure
from generation import generate_request
from metrics_page import read
from raw_http2 import DATA, END_STREAM, HEADERS, RST_STREAM, HalfMessage, RawConnection, call_headers, frame
from server_process import ServerProcess
from test_security import eventually, resident_mib

import grpc

from hocket.v1 import hocket_pb2_grpc

LIMIT_S = 2
METHODS = ("Generate", "StreamGenerate", "Score", "Embed", "Tokenize", "Detokenize", "Cancel", "ListRequests",
           "ListModels", "GetModel")
HEALTH = ("Check", "Watch")


@pytest.fixture(scope="module")
def hasty():
    with ServerProcess("--slow-sender-seconds", str(LIMIT_S), "--max-connection-idle-seconds", "4") as process:
        yield process


@pytest.fixture(scope="module")
def stub(hasty):
    with grpc.insecure_channel(hasty.target) as channel:
        yield hocket_pb2_grpc.HocketStub(channel)


def short():
    return generate_request(stopping={"max_new_tokens": 2})


def silent_call(channel, path):
    """What becomes of a call whose message never begins, and after how long."""
    start = time.monotonic()
    with contextlib.closing(Unsent()) as unsent:
        seen = failure(channel.stream_unary(path), unsent)
    return seen, time.monotonic() - start


def test_a_message_that_does_not_come_ends_its_call_whatever_the_method(hasty, stub):
    slow_before = read(hasty).value("hocket_slow_senders_total")
    ends = {}
    with grpc.insecure_channel(hasty.target) as channel:
        def end_of(method):
            service = "grpc.health.v1.Health" if method in HEALTH else "hocket.v1.Hocket"
            ends[method] = silent_call(channel, f"/{service}/{method}")
        threads = [threading.Thread(target=end_of, args=(method,)) for method in METHODS + HEALTH]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert stub.Generate(short(), timeout=5).choices
        assert ends.keys() == set(METHODS + HEALTH)
    for method, (seen, took) in ends.items():
        assert (seen.reason, seen.code) == ("SLOW_SENDER", "RESOURCE_EXHAUSTED"), method
        assert "not whole after 2s" in seen.message
        assert LIMIT_S <= took < LIMIT_S + 3, method
    eventually(lambda: read(hasty).value("hocket_slow_senders_total") == slow_before + len(METHODS + HEALTH))
    assert read(hasty).value("hocket_request_errors_total", model="", reason="SLOW_SENDER") >= len(METHODS)
    eventually(lambda: sum("SLOW_SENDER" in line for line in hasty.log) >= len(METHODS))


def test_halves_of_large_messages_are_ended_with_the_reason_and_their_memory_goes(hasty, stub):
    stub.Generate(short())
    before, peak = resident_mib(hasty), 0
    senders = [HalfMessage(hasty.target, "/hocket.v1.Hocket/StreamGenerate", 8 << 20, streams=60) for _ in range(3)]
    with contextlib.ExitStack() as stack:
        for sender in senders:
            stack.callback(sender.close)
        deadline = time.monotonic() + LIMIT_S + 5
        while not all(sender.ended for sender in senders):
            assert time.monotonic() < deadline
            for sender in senders:
                sender.go_on(1 << 20)
            peak = max(peak, resident_mib(hasty) - before)
            assert stub.Generate(short(), timeout=5).choices
        for sender in senders:
            assert len(sender.told) == 60
            assert all(b"the message was not whole after 2s" in told for told in sender.told.values())
        sent = sum(sender.sent for sender in senders) / 2**20
        assert sent > 150 and peak > 150, f"{peak:.0f} MiB for {sent:.0f} MiB sent"
        eventually(lambda: resident_mib(hasty) - before < peak / 2)


def test_who_sends_slowly_and_ends_in_time_is_answered(hasty):
    message = short().SerializeToString()
    whole = b"\0" + len(message).to_bytes(4, "big") + message
    with RawConnection(hasty.target) as slow:
        slow.greet()
        slow.call(1, "/hocket.v1.Hocket/Generate")
        for at in range(len(whole)):
            slow.send(frame(DATA, whole[at:at + 1], END_STREAM if at + 1 == len(whole) else 0, stream=1))
            time.sleep(LIMIT_S / 2 / len(whole))
        kinds = []
        for kind, flags, stream, _ in slow.frames(10):
            if stream == 1 and kind in (HEADERS, DATA):
                kinds.append(kind)
            if kind == HEADERS and flags & END_STREAM:
                break
        assert kinds == [HEADERS, DATA, HEADERS]


def test_a_call_that_ends_without_its_message_is_malformed(hasty):
    with grpc.insecure_channel(hasty.target) as channel:
        for method in ("Generate", "ListRequests"):
            seen = failure(channel.stream_unary(f"/hocket.v1.Hocket/{method}"), iter(()))
            assert (seen.reason, seen.message) == ("MALFORMED_MESSAGE", "the call has no message")


def test_a_call_that_is_given_up_before_its_message_leaves_no_trace(hasty):
    logged = len(hasty.log)
    with RawConnection(hasty.target) as leaver:
        leaver.greet()
        leaver.call(1, "/hocket.v1.Hocket/Generate")
        leaver.send(frame(DATA, b"\0\0\0\1\0half", stream=1))
        time.sleep(0.2)
    slow = read(hasty).value("hocket_slow_senders_total")
    time.sleep(LIMIT_S + 1)
    assert read(hasty).value("hocket_slow_senders_total") == slow
    assert not [line for line in hasty.log[logged:] if "request" in line]


def test_reflection_calls_without_messages_hold_few_threads_and_not_for_long(hasty):
    path, listing = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", b"\x3a\x00"

    def lists(channel):
        return b"hocket.v1.Hocket" in next(channel.stream_stream(path)(iter([listing]), timeout=5))
    with RawConnection(hasty.target) as silent, grpc.insecure_channel(hasty.target) as channel:
        assert lists(channel)
        before = read(hasty).value("process_threads")
        silent.greet()
        for stream in range(1, 200, 2):
            silent.call(stream, path)
        begin, ended, most = time.monotonic(), set(), 0
        while len(ended) < 100 and time.monotonic() < begin + LIMIT_S + 5:
            for kind, flags, stream, _ in silent.frames(0.1):
                if kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
                    ended.add(stream)
            most = max(most, read(hasty).value("process_threads") - before)
        assert len(ended) == 100
        assert 10 < most < 40
        assert lists(channel)


def test_headers_that_do_not_end_are_ended_with_their_connection(hasty):
    with RawConnection(hasty.target) as half:
        half.greet()
        half.send(frame(HEADERS, call_headers("/hocket.v1.Hocket/Generate"), 0, stream=1))
        assert half.ended(10)
