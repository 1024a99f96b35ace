"""What the health service and the HTTP probes say, and that they say the same."""

import queue
import re
import threading
import time
import urllib.error

import grpc
import pytest

from generation import fold, generate_request
from metrics_page import fetch, read
from server_process import ServerProcess

from hocket.v1 import hocket_pb2_grpc

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"  # grpc.health.v1.HealthCheckResponse.
TAKES_CALLS = ("", "hocket.v1.Hocket", "hocket.v1.Hocket/tales")
READY = ("ready", "ready/tales")
LONG = {"max_new_tokens": 900, "ignore_eos": True}


def asked(name):
    """A HealthCheckRequest."""
    return b"\x0a" + bytes([len(name)]) + name.encode() if name else b""


class Health:
    def __init__(self, channel):
        self._check = channel.unary_unary("/grpc.health.v1.Health/Check")
        self._watch = channel.unary_stream("/grpc.health.v1.Health/Watch")

    def check(self, name):
        return self._check(asked(name), timeout=10)

    def statuses(self):
        return {name: self.check(name) for name in (*TAKES_CALLS, *READY, "live")}

    def watch(self, name):
        """The statuses told, as a queue."""
        told = queue.Queue()

        def listen():
            try:
                for status in self._watch(asked(name)):
                    told.put(status)
            except grpc.RpcError:
                told.put(None)  # The server ended.
        threading.Thread(target=listen, daemon=True).start()
        return told


def probe(server, path):
    try:
        with fetch(server.metrics, path) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_every_name_is_served_and_no_other(server):
    with grpc.insecure_channel(server.target) as channel:
        health = Health(channel)
        assert health.statuses() == dict.fromkeys((*TAKES_CALLS, *READY, "live"), SERVING)
        with pytest.raises(grpc.RpcError) as unknown:
            health.check("hocket.v1.Hocket/other")
        assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
    assert probe(server, "/healthz") == probe(server, "/readyz") == (200, "ok\n")


def test_a_full_line_is_not_ready_until_it_is_shorter_and_watchers_hear_of_it():
    with ServerProcess("--max-running-sequences", "1", "--max-waiting-requests", "100",
                       "--ready-queue-fraction", "0.5") as own, grpc.insecure_channel(own.target) as channel:
        stub, health = hocket_pb2_grpc.HocketStub(channel), Health(channel)
        ready, live = health.watch("ready"), health.watch("live")
        assert ready.get(timeout=10) == live.get(timeout=10) == SERVING
        streams = [stub.StreamGenerate(generate_request(stopping=LONG)) for _ in range(90)]
        assert ready.get(timeout=10) == NOT_SERVING
        status, why = probe(own, "/readyz")
        assert status == 503
        waiting = int(re.fullmatch(r"model tales: (\d+) of 100 requests that may wait are waiting\n", why)[1])
        assert 50 <= waiting < 90
        assert health.check("ready/tales") == NOT_SERVING and health.check("live") == SERVING
        assert all(health.check(name) == SERVING for name in TAKES_CALLS)
        assert probe(own, "/healthz")[0] == 200
        page = read(own)
        assert page.value("hocket_ready") == 0 and page.value("hocket_live") == 1
        for stream in streams[10:]:
            stream.cancel()
        assert ready.get(timeout=10) == SERVING
        assert probe(own, "/readyz")[0] == 200 and live.empty()
        for stream in streams:
            stream.cancel()


def test_a_server_that_drains_lives_and_takes_nothing():
    with ServerProcess("--drain-seconds", "20") as own, grpc.insecure_channel(own.target) as channel:
        health = Health(channel)
        stream = hocket_pb2_grpc.HocketStub(channel).StreamGenerate(generate_request(stopping=LONG))
        next(stream)
        told = health.watch("hocket.v1.Hocket")
        assert told.get(timeout=10) == SERVING
        own.terminate()
        assert told.get(timeout=10) == NOT_SERVING
        # The stream may be over before all have been asked, and the server with it.
        try:
            assert health.check("live") == SERVING
            assert {health.check(name) for name in (*TAKES_CALLS, *READY)} == {NOT_SERVING}
            assert probe(own, "/readyz") == (503, "the server drains\n")
            assert probe(own, "/healthz")[0] == 200
        except (grpc.RpcError, OSError):
            assert own.wait(20) == 0
        assert fold(stream).finished.usage.generated_tokens == 900
        assert own.wait(30) == 0


def test_an_idle_server_is_never_stalled():
    with ServerProcess("--stall-seconds", "1") as own, grpc.insecure_channel(own.target) as channel:
        time.sleep(1.5)
        assert probe(own, "/healthz")[0] == 200
        stub = hocket_pb2_grpc.HocketStub(channel)
        streams = [stub.StreamGenerate(generate_request(stopping=LONG)) for _ in range(4)]
        for stream in streams:
            assert fold(stream).finished.usage.generated_tokens == 900
            assert probe(own, "/healthz")[0] == 200
