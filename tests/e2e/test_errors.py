"""Every row of docs/api.md's table of reasons is provoked here, or by a test of the server that this names."""

import contextlib
import hashlib
import json
import pathlib
import re
import shutil
import time
import urllib.request

import pytest

from error_details import Unsent, failure, failure_of, raw_call
from generation import generate_request
from server_process import REPOSITORY, TALES, ServerProcess

import grpc

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2, hocket_pb2_grpc

ENDLESS = {"stopping": {"max_new_tokens": 1000000, "ignore_eos": True}, "context": {"policy": pb.CONTEXT_POLICY_ROLL}}
LONG_PROMPT = {"ids": [40 + i % 50 for i in range(900)]}


def documented_reasons():
    """{reason: code} of the page's table."""
    page = (REPOSITORY / "docs" / "api.md").read_text()
    table = page.split("| reason |", 1)[1].split("\n\n", 1)[0]
    return dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", table, re.M))


class Narrow:
    """A server with room for little, whose model has no chat template; it also drains."""

    def __init__(self, folder):
        model = pathlib.Path(folder) / "tales"
        shutil.copytree(TALES, model, ignore=shutil.ignore_patterns("grammar", "*.txt", "*.py"))
        settings = model / "tokenizer_config.json"
        settings.write_text(re.sub(r'"chat_template"', '"no_template"', settings.read_text()))
        self.process = ServerProcess(
            "--max-running-sequences", "1", "--max-waiting-requests", "2", "--max-tenant-requests", "2",
            "--max-text-threads", "1", "--max-queued-texts", "1", "--drain-seconds", "1", "--slow-reader-seconds", "1",
            "--slow-sender-seconds", "1",
            model=model)
        self.channel = grpc.insecure_channel(self.process.target)
        self.stub = hocket_pb2_grpc.HocketStub(self.channel)
        self.outlasting = None  # A stream that outlasts the drain, once it has begun.

    def start(self, tenant):
        """A request that runs or waits until it is cancelled."""
        time.sleep(0.05)  # For the one before to be tokenized: one text may wait.
        return self.stub.StreamGenerate(generate_request(**ENDLESS), metadata=(("hocket-tenant", tenant),))

    def counts(self, name):
        page = urllib.request.urlopen(f"http://{self.process.metrics}/metrics").read().decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page, re.M))

    def drain(self):
        if self.outlasting is None:
            self.outlasting = self.start("last")
            next(self.outlasting)
            self.process.terminate()
            time.sleep(0.2)

    def close(self):
        self.channel.close()
        self.process.__exit__()


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    server = Narrow(tmp_path_factory.mktemp("narrow"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The stub of a server that wants keys."""
    keys = [{"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "tenant": name, **limits}
            for name, limits in {"plain": {"scopes": ["generate"], "highest_priority": "standard"},
                                 "watcher": {"scopes": ["admin"]}}.items()]
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    file.write_text(json.dumps({"keys": keys}))
    file.chmod(0o600)
    with ServerProcess("--api-keys", str(file)) as process, grpc.insecure_channel(process.target) as channel:
        yield hocket_pb2_grpc.HocketStub(channel)


CASES = {}  # By reason: (the fixture's name, what provokes it).


def provokes(reason, fixture="stub"):
    def keep(case):
        CASES[reason] = fixture, case
        return case
    return keep


# What no client can provoke for sure, and the test of the server that does.
UNIT_CASES = {
    # gRPC's own timers, the client's and the server's, end a call before the engine's does.
    "DEADLINE_PASSED": ("tests/service/engine_errors_test.cc", "AnAnswerCutShortNeverEndsWell"),
    "INTERNAL": ("tests/service/server_test.cc", "AFailedRowFailsItsRequestAndNotTheServer"),
}


@provokes("INVALID_FIELD")
def invalid_field(stub):
    seen = failure(stub.Generate, generate_request(sampling={"top_p": 2}))
    assert seen.violations == [("sampling.top_p", "2 is out of range (0, 1]")]
    assert seen.metadata == {"field": "sampling.top_p"}
    assert seen.message == "sampling.top_p: 2 is out of range (0, 1]"
    return seen


@provokes("INVALID_METADATA")
def invalid_metadata(stub):
    seen = failure(stub.Generate, generate_request(), metadata=(("hocket-tenant", "x" * 129),))
    assert seen.metadata == {"field": "metadata hocket-tenant"}
    return seen


@provokes("UNKNOWN_FIELD", "channel")
def unknown_field(channel):
    request = generate_request(sampling={"seed": 1}).SerializeToString()
    seen = failure(raw_call, channel, "Generate", request + b"\xf8\x07\x01")  # Field 127, 1.
    assert seen.violations[0][0] == "127"
    inner = pb.GenerateRequest(text="x").SerializeToString() + b"\x3a\x03\xf8\x07\x01"  # In sampling.
    assert failure(raw_call, channel, "StreamGenerate", inner).metadata == {"field": "sampling.127"}
    return seen


@provokes("MALFORMED_MESSAGE", "channel")
def malformed_message(channel):
    assert failure(raw_call, channel, "StreamGenerate", b"\xff\xff").reason == "MALFORMED_MESSAGE"
    seen = failure(raw_call, channel, "Generate", b"\x1a\x02\xc3\x28")
    assert "hocket.v1.GenerateRequest.text" in seen.message and "UTF-8" in seen.message
    return seen


@provokes("PROMPT_TOO_LONG")
def prompt_too_long(stub):
    seen = failure(stub.Generate, generate_request(tokens={"ids": [40] * 2000}))
    assert seen.violations[0][0] == "tokens.ids"
    return seen


@provokes("FIELD_NOT_IMPLEMENTED")
def field_not_implemented(stub):
    seen = failure(stub.Generate, generate_request(adapter=""))
    assert seen.metadata == {"field": "adapter"}
    return seen


@provokes("MODEL_NOT_FOUND")
def model_not_found(stub):
    seen = failure(stub.GetModel, hocket_pb2.GetModelRequest(model="mule"))
    assert seen.metadata == {"model": "mule"}
    return seen


@provokes("REQUEST_ID_IN_USE")
def request_id_in_use(stub):
    stream = stub.StreamGenerate(generate_request(request_id="taken", **ENDLESS))
    next(stream)
    seen = failure(stub.Generate, generate_request("Another text", request_id="taken"))
    stream.cancel()
    return seen


@provokes("TOO_MANY_READERS")
def too_many_readers(stub):
    request = generate_request(request_id="popular", **ENDLESS)
    streams = [stub.StreamGenerate(request) for _ in range(16)]
    for stream in streams:
        next(stream)
    seen = failure(stub.StreamGenerate, request)
    stub.Cancel(hocket_pb2.CancelRequest(request_id="popular"))
    return seen


@provokes("SLOW_READER", "narrow")
def slow_reader(narrow):
    """More comes than a connection holds, and is read again before the server gives it up for good."""
    window = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535)]
    with grpc.insecure_channel(narrow.process.target, options=window) as channel:
        stream = hocket_pb2_grpc.HocketStub(channel).StreamGenerate(
            generate_request(output={"top_logprobs": 20, "token_pieces": True}, **ENDLESS), timeout=20)
        next(stream)
        deadline = time.monotonic() + 10
        while not narrow.counts("hocket_slow_readers_total") and time.monotonic() < deadline:
            time.sleep(0.02)
        return failure(lambda: list(stream))


@provokes("SLOW_SENDER", "narrow")
def slow_sender(narrow):
    with contextlib.closing(Unsent()) as unsent:
        return failure(narrow.channel.stream_unary("/hocket.v1.Hocket/Generate"), unsent)


@provokes("NO_CHAT_TEMPLATE", "narrow")
def no_chat_template(narrow):
    return failure(narrow.stub.Tokenize, hocket_pb2.TokenizeRequest(chat={"messages": [{"role": "user", "content": "x"}]}))


@provokes("CONSTRAINT_FAILED")
def constraint_failed(stub):
    return failure(stub.Generate, generate_request(
        tokens={"ids": [40]}, sampling={"seed": 1}, constraint={"regex": "0+"}, resume={"generated_tokens": [45, 46]}))


def bearer(key):
    return (("authorization", f"Bearer {key}"),)


@provokes("KEY_MISSING", "guarded")
def key_missing(guarded):
    return failure(guarded.Generate, generate_request())


@provokes("KEY_UNKNOWN", "guarded")
def key_unknown(guarded):
    seen = failure(guarded.Generate, generate_request(), metadata=bearer("guess"))
    assert "guess" not in seen.message
    return seen


@provokes("SCOPE_MISSING", "guarded")
def scope_missing(guarded):
    assert failure(guarded.Generate, generate_request(), metadata=bearer("watcher")).reason == "SCOPE_MISSING"
    return failure(guarded.ListRequests, hocket_pb2.ListRequestsRequest(), metadata=bearer("plain"))


@provokes("PRIORITY_NOT_ALLOWED", "guarded")
def priority_not_allowed(guarded):
    seen = failure(guarded.Generate, generate_request(scheduling={"priority": pb.PRIORITY_CLASS_INTERACTIVE}),
                   metadata=bearer("plain"))
    assert seen.metadata == {"field": "scheduling.priority"}
    return seen


@provokes("REQUEST_TOO_LARGE", "narrow")
def request_too_large(narrow):
    return failure(narrow.stub.Generate, generate_request(sampling={"temperature": 1}, choices={"n": 2}))


@provokes("TENANT_LIMIT", "narrow")
def tenant_limit(narrow):
    streams = [narrow.start("acme"), narrow.start("acme")]
    next(streams[0])
    seen = failure(narrow.start, "acme")
    for stream in streams:
        stream.cancel()
    assert seen.quota and seen.quota[0][0] == "tenant:acme"
    assert seen.metadata == {"limit": "tenant_requests", "tenant": "acme"}
    assert seen.trailers["refusal"] == "tenant_requests" and seen.retry_ms > 0
    return seen


@provokes("QUEUE_FULL", "narrow")
def queue_full(narrow):
    streams = [narrow.start(tenant) for tenant in "abc"]
    next(streams[0])
    seen = failure(narrow.start, "d")
    for stream in streams:
        stream.cancel()
    assert not seen.quota and seen.retry_ms > 0
    assert seen.metadata == {"limit": "waiting_requests"} and seen.trailers["refusal"] == "waiting_requests"
    return seen


@provokes("TEXT_QUEUE_FULL", "narrow")
def text_queue_full(narrow):
    big = hocket_pb2.TokenizeRequest(text="a bear and a fox " * 10000)
    calls = [narrow.stub.Tokenize.future(big) for _ in range(8)]
    seen = [failure_of(call.exception()) for call in calls if call.exception() is not None]
    assert seen and seen[0].retry_ms > 0
    return seen[0]


@provokes("DEADLINE_PREDICTED")
def deadline_predicted(stub):
    """Behind prompts of a second or so; how soon the server says it depends on how long a step takes here."""
    for timeout in (0.1, 0.2, 0.4, 0.8, 1.6):
        streams = [stub.StreamGenerate(generate_request(
            tokens=LONG_PROMPT, stopping={"max_new_tokens": 1}, scheduling={"cache_salt": f"{time.time()} {i}"}))
            for i in range(60)]
        next(streams[0])
        seen = failure(stub.Generate, generate_request(scheduling={"priority": pb.PRIORITY_CLASS_BATCH}), timeout=timeout)
        for stream in streams:
            stream.cancel()
        if seen.reason:
            break
    return seen


@provokes("DRAINING", "narrow")
def draining(narrow):
    narrow.drain()
    return failure(narrow.stub.Generate, generate_request())


@provokes("SHUTDOWN", "narrow")
def shutdown(narrow):
    narrow.drain()
    return failure(lambda: list(narrow.outlasting))


@provokes("CANCELLED")
def cancelled(stub):
    stream = stub.StreamGenerate(generate_request(request_id="unwanted", **ENDLESS))
    next(stream)
    assert stub.Cancel(hocket_pb2.CancelRequest(request_id="unwanted")).found
    return failure(lambda: list(stream))


@pytest.mark.parametrize("reason", documented_reasons())
def test_every_reason_is_provoked_and_told(reason, request):
    if reason in UNIT_CASES:
        path, name = UNIT_CASES[reason]
        assert name in (REPOSITORY / path).read_text()
        return
    assert reason in CASES, f"no case provokes {reason}"
    fixture, case = CASES[reason]
    seen = case(request.getfixturevalue(fixture))
    assert (seen.reason, seen.code) == (reason, documented_reasons()[reason]), seen.message


def test_no_case_is_of_a_reason_that_is_not_documented():
    assert not (CASES.keys() | UNIT_CASES.keys()) - documented_reasons().keys()
