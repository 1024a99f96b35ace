"""A served hour can be planned again: --trace-plans and replay."""

import subprocess

from generation import generate_request
from server_process import BINARY, ServerProcess

import grpc

from hocket.v1 import hocket_pb2_grpc


def replay(path):
    return subprocess.run([BINARY, "replay", path], capture_output=True, text=True, timeout=60)


def test_replay_reproduces_what_was_served(tmp_path):
    trace = tmp_path / "plans.trace"
    with ServerProcess("--trace-plans", str(trace), "--max-running-sequences", "2") as own:
        with grpc.insecure_channel(own.target) as channel:
            stub = hocket_pb2_grpc.HocketStub(channel)
            calls = [stub.Generate.future(
                generate_request(text=f"Once upon a time {i}", stopping={"max_new_tokens": 30}),
                metadata=(("hocket-tenant", str(i % 2)),)) for i in range(8)]
            stream = stub.StreamGenerate(generate_request(
                stopping={"max_new_tokens": 900, "ignore_eos": True}))
            next(stream)
            stream.cancel()
            for call in calls:
                call.result()
        own.terminate()
        assert own.wait(30) == 0
    result = replay(trace)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith("plans of 9 requests reproduced\n")
    lines = trace.read_text().splitlines()
    changed = [line.replace(" 16 2 ", " 16 1 ", 1) if i == 0 else line for i, line in enumerate(lines)]
    other = tmp_path / "changed.trace"
    other.write_text("\n".join(changed))
    result = replay(other)
    assert result.returncode == 1 and "differs" in result.stdout


def test_replay_of_what_is_no_trace_says_so(tmp_path):
    path = tmp_path / "text"
    path.write_text("hello\n")
    result = replay(path)
    assert result.returncode not in (0, 1) or "line 1" in result.stderr
    assert "line 1 is not of a trace: hello" in result.stderr
