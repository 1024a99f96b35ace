"""The numbers on the metrics page are those of what was asked, and the documentation's tables are the page's."""

import hashlib
import json
import re
import socket
import statistics
import time
import urllib.error

import grpc
import pytest

import load_trailer
from generation import fold, generate_request
from metrics_page import documented, fetch, read
from server_process import REPOSITORY, ServerProcess

from hocket.v1 import hocket_pb2, hocket_pb2_grpc

OPERATIONS = (REPOSITORY / "docs" / "operations.md").read_text()


@pytest.fixture(scope="module")
def own():
    """A server that nobody else asks, with vLLM's names too."""
    with ServerProcess("--metrics-names", "hocket,vllm", "--model-name", "own") as process:
        yield process


@pytest.fixture(scope="module")
def own_stub(own):
    with grpc.insecure_channel(own.target) as channel:
        yield hocket_pb2_grpc.HocketStub(channel)


def settled(server, series, value, **labels):
    """The page once a number is there: a step's are counted just after its answer is sent."""
    deadline = time.monotonic() + 5
    while True:
        page = read(server)
        if page.value(series, **labels) == value or time.monotonic() > deadline:
            return page
        time.sleep(0.01)


def test_the_documented_metrics_are_those_of_the_page(own):
    page = read(own)
    described, exported = documented(OPERATIONS), page.described
    assert described.keys() == exported.keys() and len(exported) > 60
    assert {name: row for name, row in described.items() if row != exported[name]} == {}


def test_the_page_is_as_prometheus_wants_it(own):
    """The rules of promtool that can be told from a page."""
    page = read(own)
    for name, family in page.described.items():
        if not name.startswith("vllm:"):  # Those have the names that they have.
            assert re.fullmatch(r"(hocket|process)_[a-z0-9_]+", name)
            assert name.endswith("_total") == (family.kind == "counter"), name
            assert not re.search(r"(_|^)(ms|milliseconds|kb|mib|percent|count|sum|bucket)$", name), name
        assert family.help[0].isupper() or family.help[0].isdigit(), name
        assert family.help.endswith("."), name
        if family.kind == "histogram":
            assert len(page.buckets(name)) in range(8, 26), name
    assert page.text.endswith("\n")
    lines = [line for line in page.text.splitlines() if not line.startswith("#")]
    series = [line.rsplit(" ", 1)[0] for line in lines]
    assert len(series) == len(set(series)), "a series is there twice"


def test_tokens_calls_and_latencies_are_exactly_what_was_asked(own, own_stub):
    before = read(own)
    prompts = ["Once upon a time", "Once upon a time there was a small house", "The end"]
    generated = prompt_tokens = cached = 0
    for text in prompts:
        answer = own_stub.Generate(generate_request(text, stopping={"max_new_tokens": 9, "ignore_eos": True}))
        generated += answer.usage.generated_tokens
        prompt_tokens += answer.usage.prompt_tokens
        cached += answer.usage.cached_tokens
    streamed = fold(own_stub.StreamGenerate(generate_request(
        "A", sampling={"temperature": 0}, stopping={"max_new_tokens": 30, "ignore_eos": True})))
    generated += streamed.finished.usage.generated_tokens
    prompt_tokens += streamed.finished.usage.prompt_tokens
    cached += streamed.finished.usage.cached_tokens
    scored = own_stub.Score(hocket_pb2.ScoreRequest(text="A house"))
    prompt_tokens += scored.usage.prompt_tokens
    with pytest.raises(grpc.RpcError):
        own_stub.Generate(generate_request(sampling={"top_k": -1}))
    with pytest.raises(grpc.RpcError):
        own_stub.Generate(generate_request(model="unknown"))
    assert generated == 3 * 9 + 30

    computed = generated - 4 + prompt_tokens - cached  # A last token is drawn and not computed.
    page = settled(own, "hocket_step_tokens_sum", before.value("hocket_step_tokens_sum") + computed)

    def rise(series, **labels):
        return page.value(series, **labels) - before.value(series, **labels)

    assert rise("hocket_step_tokens_sum") == computed
    assert page.value("hocket_requests_running") == 0
    assert rise("hocket_generated_tokens_total") == generated
    assert rise("hocket_prompt_tokens_total") == prompt_tokens
    assert rise("hocket_prompt_cached_tokens_total") == cached
    assert rise("hocket_requests_total", method="Generate", outcome="ok") == 3
    assert rise("hocket_requests_total", method="StreamGenerate", outcome="ok") == 1
    assert rise("hocket_requests_total", method="Score", outcome="ok") == 1
    assert rise("hocket_requests_total", method="Generate", outcome="invalid_argument", model="own") == 1
    assert rise("hocket_requests_total", method="Generate", outcome="not_found", model="") == 1
    assert rise("hocket_requests_total") == 7
    assert rise("hocket_request_errors_total", reason="INVALID_FIELD") == 1
    assert rise("hocket_request_errors_total", reason="MODEL_NOT_FOUND") == 1
    assert rise("hocket_request_errors_total") == 2
    assert rise("hocket_finish_reasons_total", reason="length") == 5
    assert rise("hocket_finish_reasons_total") == 5
    for histogram, count in (("time_to_first_token_seconds", 4), ("inter_token_seconds", generated - 4),
                             ("request_seconds", 5), ("request_queue_seconds", 5), ("request_prefill_seconds", 5),
                             ("request_decode_seconds", 5), ("request_inference_seconds", 5),
                             ("request_prompt_tokens", 5), ("request_generated_tokens", 5)):
        assert rise(f"hocket_{histogram}_count") == count, histogram
    assert rise("hocket_request_prompt_tokens_sum") == prompt_tokens
    assert rise("hocket_request_generated_tokens_sum") == generated
    assert rise("hocket_sampling_requests_total", feature="greedy") == 1
    assert rise("hocket_sampling_requests_total", feature="random") == 3
    assert rise("hocket_sampling_requests_total", feature="prompt_only") == 1
    assert rise("hocket_tenant_requests_total", tenant="other") == 5
    assert rise("hocket_tenant_generated_tokens_total", tenant="other") == generated
    # What vLLM calls them is the same.
    assert rise("vllm:generation_tokens_total", model_name="own") == generated
    assert rise("vllm:prompt_tokens_total") == prompt_tokens
    assert rise("vllm:prefix_cache_hits_total") == cached
    assert rise("vllm:request_success_total", finished_reason="length") == 5
    assert rise("vllm:inter_token_latency_seconds_count") == generated - 4
    assert page.value("vllm:cache_config_info") == 1


def test_a_request_is_seen_running_by_its_class(own, own_stub):
    stream = own_stub.StreamGenerate(generate_request(
        stopping={"max_new_tokens": 900, "ignore_eos": True}, scheduling={"priority": "PRIORITY_CLASS_BATCH"}))
    next(stream)
    page = settled(own, "hocket_requests_running", 1, priority="batch")
    assert page.by("hocket_requests_running", "priority") == {"interactive": 0, "standard": 0, "batch": 1}
    assert page.value("hocket_tenant_requests_held", state="running") == 1
    assert page.value("hocket_sequences_running") == 1
    assert page.value("vllm:num_requests_running") == 1 and page.value("vllm:num_requests_waiting") == 0
    assert 0 < page.value("vllm:kv_cache_usage_perc") <= 1
    stream.cancel()
    settled(own, "hocket_requests_running", 0)
    page = settled(own, "hocket_request_errors_total", 1, reason="CANCELLED")  # Told last.
    assert page.value("hocket_finish_reasons_total", reason="cancelled") == 1
    assert page.value("vllm:request_success_total", finished_reason="abort") == 1


def test_a_request_that_is_asked_for_again_is_attached_and_kept(own, own_stub):
    before = read(own)
    request = generate_request(request_id="again", sampling={"seed": 1}, stopping={"max_new_tokens": 5})
    first, second = own_stub.Generate(request), own_stub.Generate(request)
    assert first.choices[0].text == second.choices[0].text
    page = read(own)
    assert page.value("hocket_attaches_total", state="ended") - before.value("hocket_attaches_total", state="ended") == 1
    assert page.value("hocket_requests_total", outcome="ok") - before.value("hocket_requests_total", outcome="ok") == 2
    assert page.value("hocket_finish_reasons_total") - before.value("hocket_finish_reasons_total") == 1
    assert page.value("hocket_retained_sessions") == 1 and page.value("hocket_retained_session_bytes") > 100


def test_tenants_that_keys_name_have_their_own_numbers(tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [
        {"name": name, "sha256": hashlib.sha256(f"key of {name}".encode()).hexdigest(), "tenant": tenant,
         "scopes": ["generate"]} for name, tenant in (("a", "north"), ("b", "south"), ("c", "south"))]}))
    keys.chmod(0o600)
    with ServerProcess("--api-keys", str(keys)) as guarded, grpc.insecure_channel(guarded.target) as channel:
        assert read(guarded).by("hocket_tenant_requests_total", "tenant") == {"north": 0, "south": 0, "other": 0}
        stub = hocket_pb2_grpc.HocketStub(channel)
        for name in "bc":
            stub.Generate(generate_request(stopping={"max_new_tokens": 3, "ignore_eos": True}),
                          metadata=[("authorization", f"Bearer key of {name}")])
        with pytest.raises(grpc.RpcError):
            stub.Generate(generate_request(), metadata=[("authorization", "Bearer key of nobody")])
        page = read(guarded)
    assert page.by("hocket_tenant_requests_total", "tenant") == {"north": 0, "south": 2, "other": 0}
    assert page.by("hocket_tenant_generated_tokens_total", "tenant") == {"north": 0, "south": 6, "other": 0}
    assert page.value("hocket_request_errors_total", reason="KEY_UNKNOWN", model="") == 1


def test_a_calls_end_tells_the_servers_load_and_what_the_call_cost(own):
    (message,), report = load_trailer.call(own.target, "Generate", generate_request(stopping={"max_new_tokens": 7}))
    usage = hocket_pb2.GenerateResponse.FromString(message).usage
    assert report.request_cost == {"prompt_tokens": usage.prompt_tokens, "cached_tokens": usage.cached_tokens,
                                   "generated_tokens": usage.generated_tokens}
    assert usage.prompt_tokens > 0 and usage.generated_tokens > 0
    assert report.utilization.keys() == {"kv_cache", "queue"}
    assert all(0 <= share <= 1 for share in report.utilization.values())
    assert 0 < report.mem_utilization < 1 and report.cpu_utilization >= 0

    events, report = load_trailer.call(own.target, "StreamGenerate", generate_request(
        stopping={"max_new_tokens": 100, "ignore_eos": True}))
    assert hocket_pb2.StreamGenerateResponse.FromString(events[-1]).finished.usage.generated_tokens == 100
    assert report.request_cost["generated_tokens"] == 100

    none, report = load_trailer.call(own.target, "Generate", generate_request(sampling={"top_k": -1}))
    assert none == [] and report.request_cost == {} and "kv_cache" in report.utilization


def test_processor_use_is_sampled_while_the_server_works(own, own_stub):
    """However little of a crowded machine the server gets, some of it is seen."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        fold(own_stub.StreamGenerate(generate_request(stopping={"max_new_tokens": 900, "ignore_eos": True})))
        _, report = load_trailer.call(own.target, "Generate", generate_request(stopping={"max_new_tokens": 1}))
        if 0.005 < report.cpu_utilization < 2:
            return
    pytest.fail("twenty seconds of work were not seen")


def test_the_pages_answer_as_http_servers_do(own):
    with fetch(own.metrics) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        length = int(answer.headers["Content-Length"])
        assert length == len(answer.read())
    with fetch(own.metrics, method="HEAD") as answer:
        assert answer.status == 200 and answer.read() == b""
        assert int(answer.headers["Content-Length"]) > 1000
    with fetch(own.metrics, "/") as answer:
        assert b"/metrics" in answer.read()
    for method, path, status in (("GET", "/metrics/more", 404), ("POST", "/metrics", 405), ("DELETE", "/", 405)):
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetch(own.metrics, path, method)
        assert refused.value.code == status
        assert refused.value.headers["Content-Type"].startswith("text/plain")
        if status == 405:
            assert refused.value.headers["Allow"] == "GET, HEAD"


def test_the_page_is_quick_while_the_server_works_and_others_keep_connections(own, own_stub):
    """Bounded, not timed: each scrape ends well before Prometheus' own limit of ten seconds."""
    host, port = own.metrics.split(":")
    streams = [own_stub.StreamGenerate(generate_request(stopping={"max_new_tokens": 900, "ignore_eos": True}))
               for _ in range(8)]
    silent = [socket.create_connection((host, int(port))) for _ in range(6)]
    try:
        for stream in streams:
            next(stream)
        seconds = []
        for _ in range(20):
            begin = time.monotonic()
            page = read(own)
            seconds.append(time.monotonic() - begin)
        print(f"scrape: median {statistics.median(seconds) * 1e3:.1f} ms, longest {max(seconds) * 1e3:.1f} ms, "
              f"made in {page.value('hocket_metrics_page_seconds') * 1e3:.1f} ms, {len(page.text)} bytes")
        assert max(seconds) < 5
    finally:
        for connection in silent:
            connection.close()
        for stream in streams:
            stream.cancel()


def test_more_connections_than_places_wait_and_are_answered(own):
    host, port = own.metrics.split(":")
    waiting = []
    try:
        for _ in range(60):
            waiting.append(socket.create_connection((host, int(port)), timeout=20))
            waiting[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        for connection in waiting:
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    finally:
        for connection in waiting:
            connection.close()
