"""Requests that survive their connections: the same id attaches, from where the client was, bit for bit."""

import itertools
import time
import uuid

import pytest

import metrics_page
from error_details import failure_of
from generation import bits, choice_bits, fold, fold_choices, generate_request
from server_process import ServerProcess

import grpc
from google.protobuf import duration_pb2

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2, hocket_pb2_grpc

LONG = {"max_new_tokens": 900, "ignore_eos": True}
ENDLESS = {"stopping": {"max_new_tokens": 200000, "ignore_eos": True}, "context": {"policy": "CONTEXT_POLICY_ROLL"}}


def named(**fields):
    settings = {"sampling": {"seed": 5, "temperature": 0.9}, "stopping": LONG, "output": {"top_logprobs": 2},
                "request_id": f"s-{uuid.uuid4()}"}
    return generate_request(**{**settings, **fields})


def again(request, **resume):
    other = pb.GenerateRequest()
    other.CopyFrom(request)
    other.resume.CopyFrom(pb.Resume(**resume))
    return other


def undisturbed(stub, request):
    other = pb.GenerateRequest()
    other.CopyFrom(request)
    other.request_id = ""
    return list(stub.StreamGenerate(other))


def held(stub, request_id):
    for listed in stub.ListRequests(hocket_pb2.ListRequestsRequest()):
        for entry in listed.requests:
            if entry.request_id == request_id:
                return entry
    return None


def await_state(stub, request_id, *states, timeout_s=20):
    """Until it is in one of these states; None is not held."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        entry = held(stub, request_id)
        if (entry.state if entry else None) in states:
            return
        time.sleep(0.01)
    raise AssertionError(f"{request_id} did not become {states}: {held(stub, request_id)}")


def read_some(stub, request, tokens):
    """The events up to so many tokens of every choice; then the connection is lost."""
    stream = stub.StreamGenerate(request)
    events, had = [], {}
    for event in stream:
        events.append(event)
        if event.HasField("delta"):
            had[event.delta.choice_index] = event.delta.choice_tokens
        if len(had) >= max(request.choices.n, 1) and min(had.values()) >= tokens:
            break
    stream.cancel()
    # On a busy machine the server may have come to the end meanwhile.
    await_state(stub, request.request_id, pb_state("SUSPENDED"), pb_state("FINISHED"))
    return events, [had[index] for index in sorted(had)]


def pb_state(name):
    return hocket_pb2.RequestState.Value(f"REQUEST_STATE_{name}")


def joined(first, second):
    """Two halves of a stream as one: each event but for the second `started`."""
    return itertools.chain(first, (event for event in second if not event.HasField("started")))


@pytest.mark.parametrize("by_tokens", [False, True])
def test_a_client_that_lost_its_connection_reads_on_where_it_was(stub, by_tokens):
    request = named()
    whole = fold(undisturbed(stub, request))
    events, had = read_some(stub, request, 60)
    first = fold(events)
    assert len(first.token_ids) == had[0] and had[0] < 900
    resume = {"generated_tokens": first.token_ids} if by_tokens else {"token_offsets": had}
    rest = list(stub.StreamGenerate(again(request, **resume)))
    assert rest[0].HasField("started") and rest[0].started.request_id == request.request_id
    both = fold(joined(events, rest))
    assert bits(both) == bits(whole)
    assert both.finished.usage.generated_tokens == 900
    assert both.finished.usage.prompt_tokens == whole.finished.usage.prompt_tokens
    # Kept after its end: read once more, from the beginning, and as one message.
    assert bits(fold(stub.StreamGenerate(request))) == bits(whole)
    assert choice_bits(stub.Generate(request).choices[0]) == bits(whole)


def test_three_choices_go_on_where_each_was(stub):
    request = named(choices={"n": 3})
    whole = fold_choices(undisturbed(stub, request))
    events, had = read_some(stub, request, 30)
    rest = list(stub.StreamGenerate(again(request, token_offsets=had)))
    for both, expected in zip(fold_choices(joined(events, rest)), whole):
        assert bits(both) == bits(expected)


def test_a_beam_search_is_the_same_after_an_interruption(stub):
    request = named(beam_search={"width": 3}, sampling={}, choices={"n": 2}, output={"logprobs": True})
    whole = fold_choices(undisturbed(stub, request))
    stream = stub.StreamGenerate(request)
    assert next(stream).HasField("started")
    stream.cancel()
    await_state(stub, request.request_id, pb_state("SUSPENDED"))
    for both, expected in zip(fold_choices(stub.StreamGenerate(request)), whole):
        assert bits(both) == bits(expected)
    # From the middle of what came at once.
    rest = fold_choices(stub.StreamGenerate(again(request, token_offsets=[100, 0])))
    assert whole[0].token_ids[100:] == rest[0].token_ids
    assert whole[0].text.endswith(rest[0].text) and 0 < len(rest[0].text) < len(whole[0].text)
    assert bits(rest[1]) == bits(whole[1])


def test_an_offset_within_guesses_that_came_true_is_exact(stub):
    text = "the cat and the dog and the cat and the dog and the cat and the"
    request = named(text=text, sampling={"temperature": 0}, speculation={"prompt_lookup": True},
                    stopping={"max_new_tokens": 120, "ignore_eos": True})
    whole = fold(stub.StreamGenerate(request))
    texts = {}
    plain = again(request)
    plain.request_id, plain.speculation.prompt_lookup = "", False
    told = ""
    for event in stub.StreamGenerate(plain):
        if event.HasField("delta"):
            told += event.delta.text
            texts[event.delta.choice_tokens] = told
    for had, text in list(texts.items())[:-1:7]:
        rest = fold(stub.StreamGenerate(again(request, token_offsets=[had])))
        assert text + rest.text == whole.text, had
        assert whole.token_ids[had:] == rest.token_ids


def test_a_unary_call_attaches_to_a_streams_request(server, stub):
    request = named()
    stream = stub.StreamGenerate(request)
    events = [next(stream), next(stream)]
    unary = stub.Generate.future(request)
    events += stream
    answer = unary.result()
    assert choice_bits(answer.choices[0]) == bits(fold(events))
    assert answer.usage == fold(events).finished.usage


def test_what_no_server_holds_is_computed_anew_and_only_the_rest_is_sent(stub):
    request = named()
    whole = fold(undisturbed(stub, request))
    rest = fold(stub.StreamGenerate(again(request, token_offsets=[150])))
    assert rest.token_ids == whole.token_ids[150:]
    assert bits(rest)[2] == bits(whole)[2][150:]
    assert whole.text.endswith(rest.text)
    assert rest.finished.usage.generated_tokens == 900
    unseeded = named(sampling={"temperature": 1})
    with pytest.raises(grpc.RpcError) as error:
        list(stub.StreamGenerate(again(unseeded, token_offsets=[5])))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details().startswith("sampling.seed: ")


def test_tokens_held_back_for_a_stop_string_are_not_lost_between_servers(stub):
    """The text after any number of tokens goes on exactly where the deltas with those tokens ended."""
    request = named(stopping={**LONG, "max_new_tokens": 60, "stop_strings": [". And then nobody", "the end of it"]},
                    output={})
    request.request_id = ""
    texts, told, tokens = {}, "", []
    for event in stub.StreamGenerate(request):
        if event.HasField("delta"):
            told += event.delta.text
            tokens += event.delta.token_ids
            texts[len(tokens)] = told
    for had, text in list(texts.items())[:-1:5]:
        rest = fold(stub.StreamGenerate(again(request, generated_tokens=tokens[:had])))
        assert text + rest.text == told, had
        assert tokens[:had] + rest.token_ids == tokens


def test_the_list_shows_what_runs_and_cancel_ends_what_is_suspended(stub):
    request = named(**ENDLESS)
    read_some(stub, request, 5)
    entry = held(stub, request.request_id)
    assert entry.method == "StreamGenerate" and entry.model == "tales"
    assert entry.state == pb_state("SUSPENDED") and entry.attached_calls == 0 and entry.generated_tokens >= 5
    assert entry.pending_bytes > 0 and entry.prompt_tokens > 0
    assert stub.Cancel(hocket_pb2.CancelRequest(request_id=request.request_id)).found
    with pytest.raises(grpc.RpcError) as error:
        list(stub.StreamGenerate(request))
    assert error.value.code() == grpc.StatusCode.CANCELLED
    lists = stub.ListRequests(hocket_pb2.ListRequestsRequest(interval=duration_pb2.Duration(nanos=100_000_000)))
    next(lists), next(lists)
    lists.cancel()
    with pytest.raises(grpc.RpcError) as error:
        next(stub.ListRequests(hocket_pb2.ListRequestsRequest(interval=duration_pb2.Duration(nanos=1))))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details().startswith("interval: ")


def test_each_tenant_has_its_own_ids(stub):
    request = named(stopping={"max_new_tokens": 5})
    other = named(stopping={"max_new_tokens": 6}, request_id=request.request_id)
    one = stub.Generate(request, metadata=[("hocket-tenant", "one")])
    two = stub.Generate(other, metadata=[("hocket-tenant", "two")])
    assert one.usage.generated_tokens == 5 and two.usage.generated_tokens == 6
    stream = stub.StreamGenerate(named(request_id="mine", stopping=LONG), metadata=[("hocket-tenant", "one")])
    next(stream)
    cancel = hocket_pb2.CancelRequest(request_id="mine")
    assert not stub.Cancel(cancel, metadata=[("hocket-tenant", "two")]).found
    assert stub.Cancel(hocket_pb2.CancelRequest(request_id="mine", tenant="one")).found


def test_retention_ends_and_a_slow_reader_is_let_go():
    flags = ["--retain-seconds", "0.3", "--slow-reader-seconds", "0.5", "--max-running-sequences", "4"]
    with ServerProcess(*flags) as own:
        with grpc.insecure_channel(own.target) as channel:
            stub = hocket_pb2_grpc.HocketStub(channel)
            request = named(stopping={"max_new_tokens": 5})
            stub.Generate(request)
            await_state(stub, request.request_id, None)
            stub.Generate(named(request_id=request.request_id, stopping={"max_new_tokens": 6}))
        # A window of 64 KiB, which the client never opens again.
        options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535)]
        with grpc.insecure_channel(own.target, options=options) as channel:
            stub = hocket_pb2_grpc.HocketStub(channel)
            stream = stub.StreamGenerate(named(output={"top_logprobs": 20}, **ENDLESS))
            next(stream)
            deadline = time.monotonic() + 60
            while metrics_page.read(own).value("hocket_slow_readers_total") == 0:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            # Who reads on is told, and could come back if the request were still kept.
            with pytest.raises(grpc.RpcError) as error:
                list(stream)
            assert failure_of(error.value).reason == "SLOW_READER"
