"""Configuration and logs: where settings come from, what a reload changes, and what a line of the log holds."""

import json
import os
import re
import signal
import subprocess
import time
import tomllib
import urllib.request

import pytest

from generation import fold, generate_request
from server_process import BINARY, TALES, ServerProcess

import grpc

from hocket.v1 import hocket_pb2_grpc

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def serve(*flags, environment=None):
    return subprocess.run([BINARY, "serve", *map(str, flags)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **(environment or {})})


def await_line(server, pattern, timeout_s=10):
    """The first line of the server's log that matches."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for line in server.log:
            if re.search(pattern, line):
                return line
        time.sleep(0.02)
    raise AssertionError(f"no line like {pattern} in\n" + "\n".join(server.log))


def metrics(server):
    return urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10).read().decode()


def test_print_config_is_a_file_that_says_the_same(tmp_path):
    file = tmp_path / "hocket.toml"
    file.write_text('drain-seconds = 4\nmax-prompt-bytes = "2MiB"\nlog-level = "warning"\n')
    first = serve("--config", file, "--print-config", "--model", "a=x,threads=1", "--model", 'b=y "z"',
                  "--no-prefix-cache", "--drain-seconds", "5", environment={"HOCKET_LOG_LEVEL": "error"})
    assert first.returncode == 0, first.stderr
    settings = tomllib.loads(first.stdout)
    assert settings["drain-seconds"] == 5 and settings["max-prompt-bytes"] == 2 << 20
    assert settings["model"] == ["a=x,threads=1", 'b=y "z"'] and settings["prefix-cache"] is False
    assert settings["log-level"] == "error" and settings["threads"] == 0
    sources = {name: source for source, name in re.findall(r"^# (.*)\n([a-z-]+) = ", first.stdout, re.M)}
    assert sources["drain-seconds"] == sources["model"] == "command line"
    assert sources["max-prompt-bytes"] == "config file" and sources["threads"] == "default"
    assert sources["log-level"] == "environment, HOCKET_LOG_LEVEL"

    file.write_text(first.stdout)
    second = serve("--config", file, "--print-config")
    assert second.returncode == 0, second.stderr
    assert tomllib.loads(second.stdout) == settings


def test_check_config_judges_without_loading(tmp_path):
    good = serve("--check-config", "--model", TALES)
    assert (good.returncode, good.stderr) == (0, "")
    file = tmp_path / "hocket.toml"
    for text, named in (("threads = 1\nthreds = 2\n", 'line 2: there is no setting "threds"; did you mean "threads"'),
                        ("[serve]\nthreads = 1\n", 'line 1: there is no setting "serve"'),
                        ("threads = -1\n", "--threads: -1 is out of range; allowed is from 0 to 1024 (set in the file"),
                        ("threads = = 1\n", "line 1: "),
                        ('model = "/no/such/folder"\n', "/no/such/folder")):
        file.write_text(text)
        bad = serve("--check-config", "--config", file)
        assert bad.returncode == 2 and named in bad.stderr, (text, bad.stderr)
        assert len(bad.stderr.splitlines()) == 1


def test_help_is_in_groups():
    text = serve("--help").stdout
    assert re.findall(r"^(\w+):$", text, re.M) == ["Options", "Model", "Network", "Security", "Limits", "Sessions",
                                                   "Observability"]


def test_a_hangup_changes_what_can_change_beside_a_running_stream(tmp_path):
    file = tmp_path / "hocket.toml"
    file.write_text("max-running-sequences = 8\n")
    with ServerProcess("--config", str(file), environment={"HOCKET_DRAIN_SECOND": "1"}) as own:
        assert "did you mean HOCKET_DRAIN_SECONDS" in await_line(own, "unknown_variable")
        with grpc.insecure_channel(own.target) as channel:
            stub = hocket_pb2_grpc.HocketStub(channel)
            request = generate_request(sampling={"seed": 7}, stopping={"max_new_tokens": 900, "ignore_eos": True})
            undisturbed = fold(stub.StreamGenerate(request))
            stream = stub.StreamGenerate(request)
            first = next(stream)
            file.write_text('log-format = "json"\nmax-tenant-requests = 1\nmax-running-sequences = 9\n')
            own.process.send_signal(signal.SIGHUP)
            reloaded = json.loads(await_line(own, '"event":"reload"'))
            assert reloaded["outcome"] == "ok"
            assert reloaded["changed"] == "max-tenant-requests,log-format"
            assert json.loads(await_line(own, '"event":"restart_needed"'))["for"] == "max-running-sequences"
            with pytest.raises(grpc.RpcError) as refused:  # The stream is the tenant's one.
                stub.Generate(generate_request(stopping={"max_new_tokens": 1}))
            assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            disturbed = fold([first, *stream])
            assert disturbed.token_ids == undisturbed.token_ids and disturbed.text == undisturbed.text

            file.write_text("max-tenant-requests = nonsense\n")
            own.process.send_signal(signal.SIGHUP)
            broken = json.loads(await_line(own, '"event":"reload","outcome":"error"'))
            assert broken["level"] == "error" and "line 1" in broken["error"]
            stub.Generate(generate_request(stopping={"max_new_tokens": 1}))
        page = metrics(own)
        for outcome in ("ok", "error"):
            assert re.search(rf'^hocket_config_reloads_total{{.*outcome="{outcome}".*what="config".*}} 1$'
                             rf'|^hocket_config_reloads_total{{.*what="config".*outcome="{outcome}".*}} 1$',
                             page, re.M), page
        own.terminate()
        assert own.wait(30) == 0


def test_a_line_of_json_is_one_request_with_its_members():
    with ServerProcess("--log-format", "json") as own:
        with grpc.insecure_channel(own.target) as channel:
            stub = hocket_pb2_grpc.HocketStub(channel)
            stub.Generate(generate_request(text="A secret bear", request_id="mine",
                                           stopping={"max_new_tokens": 3, "ignore_eos": True}),
                          metadata=(("hocket-tenant", "choir"), ("traceparent", TRACEPARENT)))
            with pytest.raises(grpc.RpcError):
                stub.Generate(generate_request(request_id="refused", sampling={"top_k": -1}),
                              metadata=(("traceparent", TRACEPARENT.upper()),))
            with pytest.raises(grpc.RpcError):
                stub.Generate(generate_request(model="nobody"))
        assert re.search(r"^hocket_invalid_traceparents_total 1$", metrics(own), re.M)
        own.terminate()
        assert own.wait(30) == 0
    events = [json.loads(line) for line in own.log if line.startswith("{")]
    assert [event["event"] for event in events if event["event"] in ("start", "ready", "drain", "stop")] == [
        "start", "ready", "drain", "stop"]
    served, refused, unknown = [event for event in events if event["event"] == "request"]
    assert (served["id"], served["tenant"], served["model"], served["method"], served["outcome"]) == (
        "mine", "choir", "tales", "Generate", "ok")
    assert served["finish_reason"] == "FINISH_REASON_LENGTH" and served["generated_tokens"] == 3
    assert served["prompt_tokens"] > 0 and served["total_ms"] >= served["first_token_ms"] > 0
    assert (served["trace_id"], served["span_id"], served["trace_flags"]) == tuple(TRACEPARENT.split("-")[1:])
    assert served["peer"].startswith("ipv4:127.0.0.1:")
    assert refused["outcome"] == "invalid_argument" and refused["reason"] == "INVALID_FIELD"
    assert (unknown["method"], unknown["reason"]) == ("Generate", "MODEL_NOT_FOUND")
    assert unknown["peer"].startswith("ipv4:127.0.0.1:") and not {"id", "model"} & unknown.keys()
    assert not {"trace_id", "generated_tokens"} & refused.keys()
    assert not any("secret" in line for line in own.log)


def test_prompts_are_logged_only_when_asked_for():
    with ServerProcess("--log-format", "json", "--log-prompts") as own:
        with grpc.insecure_channel(own.target) as channel:
            answers = [hocket_pb2_grpc.HocketStub(channel).Generate(
                generate_request(text="A secret bear", stopping={"max_new_tokens": 5}, **more))
                for more in ({}, {"request_id": "kept"})]
        own.terminate()
        assert own.wait(30) == 0
    events = [json.loads(line) for line in own.log if line.startswith("{")]
    assert any(event["event"] == "prompts_logged" and event["level"] == "warning" for event in events)
    logged = [event for event in events if event["event"] == "request"]
    assert len(logged) == len(answers)
    for line, answer in zip(logged, answers):
        assert "A secret bear" in line["prompt"] and line["answer"] == answer.choices[0].text
