"""At its default settings the server ends connections that open and reset calls without end, and no others."""

import contextlib
import random
import threading
import time

import pytest

from generation import generate_request
from metrics_page import read
from raw_http2 import (ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
                       RawConnection, call_headers, frame)
from server_process import ServerProcess
from test_security import resident_mib

import grpc

from hocket.v1 import hocket_pb2_grpc

TICK_S = 0.05
RESETS_A_SECOND = 300
CALLS_A_SECOND = 1300
STREAMS = 100
LONGEST_S = 20  # Ten seconds' worth of resets may come at once: an attacker has 5 s on a machine that is free.


@pytest.fixture(scope="module")
def plain():
    with ServerProcess() as process:
        yield process


def message(payload):
    return b"\0" + len(payload).to_bytes(4, "big") + payload


class Rude:
    """Opens calls at a rate, with or without their message, and resets each at once."""

    def __init__(self, target, payload=None):
        self.connection = RawConnection(target)
        self.connection.greet()
        self.head = call_headers("/hocket.v1.Hocket/Generate")
        self.payload = payload
        self.stream = 1
        self.ended_after = None

    def call(self):
        parts = [frame(HEADERS, self.head, END_HEADERS, self.stream)]
        if self.payload is not None:
            parts.append(frame(DATA, message(self.payload), END_STREAM, self.stream))
        parts.append(frame(RST_STREAM, b"\0\0\0\x08", 0, self.stream))
        self.stream += 2
        return b"".join(parts)

    def run(self, begin, _):
        done = 0
        while time.monotonic() < begin + LONGEST_S:
            due = int((time.monotonic() - begin) * RESETS_A_SECOND)
            try:
                self.connection.send(*(self.call() for _ in range(due - done)))
                if self.connection.ended(TICK_S):
                    raise ConnectionError
            except OSError:
                self.ended_after = time.monotonic() - begin
                return
            done = due


class Busy:
    """Opens many more calls, and takes the answer of each."""

    def __init__(self, target):
        self.connection = RawConnection(target)
        self.connection.send(PREFACE, frame(SETTINGS), frame(SETTINGS, flags=ACK),
                             frame(WINDOW_UPDATE, (1 << 30).to_bytes(4, "big")))
        self.head = call_headers("/hocket.v1.Hocket/GetModel")
        self.opened = self.answered = 0

    def run(self, begin, over):
        while not over.is_set() or self.answered < self.opened:
            due = 0 if over.is_set() else int((time.monotonic() - begin) * CALLS_A_SECOND)
            parts = []
            # No more at a time than a connection may have.
            for _ in range(max(0, min(due - self.opened, 1000 - (self.opened - self.answered)))):
                stream = 2 * self.opened + 1
                parts += [frame(HEADERS, self.head, END_HEADERS, stream), frame(DATA, message(b""), END_STREAM, stream)]
                self.opened += 1
            self.connection.send(*parts)
            for kind, flags, _, payload in self.connection.frames(TICK_S):
                if kind == PING and not flags & ACK:
                    self.connection.send(frame(PING, payload, ACK))
                self.answered += kind == HEADERS and bool(flags & END_STREAM)


class Fickle:
    """Keeps STREAMS streams going on one connection and cancels each after a moment, but one."""

    def __init__(self, target):
        self.channel = grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub = hocket_pb2_grpc.HocketStub(self.channel)
        self.kept = self.start()
        assert next(self.kept).HasField("started")
        self.cancelled = 0

    def start(self):
        return self.stub.StreamGenerate(generate_request(
            context={"policy": "CONTEXT_POLICY_ROLL"}, stopping={"max_new_tokens": 1_000_000, "ignore_eos": True}))

    def run(self, _, over):
        rng = random.Random(1)
        streams = []
        while not over.is_set():
            now = time.monotonic()
            for end, stream in [one for one in streams if one[0] <= now]:
                stream.cancel()
                self.cancelled += 1
            streams = [one for one in streams if one[0] > now]
            while len(streams) < STREAMS:
                streams.append((now + rng.uniform(0.05, 1), self.start()))
            time.sleep(TICK_S)
        for _, stream in streams:  # And all at once.
            stream.cancel()

    def goes_on(self):
        return all(next(self.kept) for _ in range(50))


def test_resets_without_end_end_their_connection_and_no_other(plain):
    before = read(plain)
    memory_before = resident_mib(plain)
    with contextlib.ExitStack() as stack:
        rude = [Rude(plain.target), Rude(plain.target, generate_request().SerializeToString())]
        busy, fickle = Busy(plain.target), Fickle(plain.target)
        stack.callback(fickle.channel.close)
        for raw in (*rude, busy):
            stack.callback(raw.connection.close)
        begin, over = time.monotonic(), threading.Event()
        attacks, others = ([threading.Thread(target=client.run, args=(begin, over)) for client in clients]
                           for clients in (rude, (busy, fickle)))
        for thread in (*attacks, *others):
            thread.start()
        peak = 0
        while any(thread.is_alive() for thread in attacks):
            peak = max(peak, resident_mib(plain) - memory_before)
            time.sleep(TICK_S)
        over.set()
        for thread in others:
            thread.join(30)
        took = time.monotonic() - begin
        assert all(one.ended_after is not None for one in rude)
        assert busy.answered == busy.opened > 0.5 * (took - 1) * CALLS_A_SECOND
        assert fickle.cancelled > 2 * STREAMS and fickle.goes_on()
        fickle.kept.cancel()
    page = read(plain)
    ended = {reason: page.value("hocket_connections_ended_total", reason=reason)
             - before.value("hocket_connections_ended_total", reason=reason) for reason in ("calls", "resets")}
    assert ended == {"calls": 0, "resets": 2}
    assert sum("connection_ended" in line and "resets" in line for line in plain.log) == 2
    assert peak < 400, f"{peak:.0f} MiB"
