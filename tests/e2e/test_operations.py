"""What docs/operations.md promises to those who run the server."""

import re
import socket
import time
import urllib.request

import pytest

from generation import generate_request
from server_process import ServerProcess

import grpc

from hocket.v1 import hocket_pb2_grpc


def page(server, path):
    return urllib.request.urlopen(f"http://{server.metrics}{path}", timeout=10).read().decode()


def test_idle_connections_do_not_hold_up_the_probes(server):
    host, port = server.metrics.split(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(4)]
    try:
        start = time.monotonic()
        assert page(server, "/healthz") == "ok\n"
        assert time.monotonic() - start < 0.9  # Less than a connection's time limit.
    finally:
        for connection in idle:
            connection.close()


def test_a_line_of_the_log_is_one_request_with_its_id():
    with ServerProcess() as own:
        with grpc.insecure_channel(own.target) as channel:
            stub = hocket_pb2_grpc.HocketStub(channel)
            stub.Generate(generate_request(request_id='a" outcome=forged', stopping={"max_new_tokens": 1}))
            with pytest.raises(grpc.RpcError):
                stub.Generate(generate_request(request_id="refused", sampling={"top_k": -1}))
            with pytest.raises(grpc.RpcError):
                stub.Generate(generate_request(sampling={"top_k": -1}))
        own.terminate()
        assert own.wait(30) == 0
        lines = [line for line in own.log if "request id=" in line]
    assert len(lines) == 3
    assert r' id="a\" outcome=forged" ' in lines[0] and " outcome=ok " in lines[0]
    assert " id=refused " in lines[1] and re.search(r" id=r-[0-9a-f]{16} ", lines[2])


def test_the_start_says_which_precision_runs_and_where_the_memory_goes():
    with ServerProcess("--kv-precision", "int8") as own:
        log = "\n".join(own.log)
        page_text = page(own, "/metrics")
    assert re.search(r"precision: weights (int8|bf16) \(auto: .+\), keys and values int8$", log, re.M)
    for part in ("weights", "KV cache", "step arena", "expected peak", "available"):
        assert re.search(rf"memory: {part} +[1-9][\d.]* [KMGT]iB", log), (part, log)
    for part in ("weights", "kv_cache", "step_arena"):
        planned = re.search(rf'^hocket_memory_planned_bytes{{.*part="{part}".*}} (\S+)$', page_text, re.M)
        assert planned and float(planned[1]) > 0, part
