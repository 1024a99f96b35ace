"""Several choices of one request, and the best of several, through the real server."""

import concurrent.futures
import json
import subprocess

import pytest

from busy import neighbours
from generation import bits, choice_bits, fold, fold_choices, generate_request
from server_process import BINARY, ServerProcess
from test_lifecycle import LONG, await_idle, gauge

import grpc

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2, hocket_pb2_grpc

DRAWN = {"sampling": {"temperature": 1.0, "seed": 21}, "stopping": {"max_new_tokens": 48},
         "output": {"top_logprobs": 3}}


def request(**fields):
    return generate_request(**{**DRAWN, **fields})


def test_choices_differ_and_stream_and_unary_give_the_same(stub):
    streamed = fold_choices(stub.StreamGenerate(request(choices={"n": 3})))
    unary = stub.Generate(request(choices={"n": 3}))
    assert [choice.index for choice in unary.choices] == [0, 1, 2]
    assert [choice_bits(choice) for choice in unary.choices] == [bits(choice) for choice in streamed]
    assert len({choice.text for choice in streamed}) == 3
    last = next(choice.finished for choice in streamed if choice.finished.HasField("usage"))
    assert last.usage == unary.usage
    assert last.usage.generated_tokens == sum(len(choice.token_ids) for choice in streamed)
    assert last.usage.prompt_tokens == streamed[0].started.prompt_tokens
    for choice, whole in zip(streamed, unary.choices):
        assert choice.finished.finish_reason == whole.finish_reason
        assert not choice.finished.HasField("score") and not whole.HasField("total_logprob")


def test_a_choice_does_not_depend_on_how_many_there_are(stub):
    alone = bits(fold(stub.StreamGenerate(request())))
    four = [choice_bits(choice) for choice in stub.Generate(request(choices={"n": 4})).choices]
    two = [choice_bits(choice) for choice in stub.Generate(request(choices={"n": 2})).choices]
    assert four[0] == alone
    assert four[:2] == two


def test_choices_come_side_by_side(stub):
    order = [event.delta.choice_index for event in stub.StreamGenerate(
        request(choices={"n": 3}, stopping={"max_new_tokens": 60, "ignore_eos": True}))
        if event.HasField("delta")]
    first_end = min(len(order) - 1 - order[::-1].index(index) for index in range(3))
    assert set(order[:first_end]) == {0, 1, 2}


def test_choices_are_bitwise_the_same_in_a_busy_batch_and_with_few_blocks(stub):
    several = request(choices={"n": 4}, stopping={"max_new_tokens": 120, "ignore_eos": True})
    expected = [choice_bits(choice) for choice in stub.Generate(several).choices]
    with neighbours(stub):
        for _ in range(2):
            assert [choice_bits(choice) for choice in stub.Generate(several).choices] == expected
    with ServerProcess("--kv-cache-bytes", "2MiB", "--max-step-tokens", "48") as small, \
            grpc.insecure_channel(small.target) as channel:
        own = hocket_pb2_grpc.HocketStub(channel)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: own.Generate(several), range(4)))
        assert gauge(small, "hocket_preemptions_total") > 0
    for answer in answers:
        assert [choice_bits(choice) for choice in answer.choices] == expected


def test_the_prompt_is_computed_and_scored_once(stub):
    text = "A fox came down to the river to drink. " * 6
    one = fold(stub.StreamGenerate(request(text=text, output={"prompt_logprobs": True})))
    three = stub.Generate(request(text=text, choices={"n": 3}, output={"prompt_logprobs": True}))
    assert list(three.prompt_scores) == one.prompt_scores
    assert three.usage.prompt_tokens == one.started.prompt_tokens
    nothing = stub.Generate(request(choices={"n": 3}, stopping={"max_new_tokens": 0}))
    assert [choice.finish_reason for choice in nothing.choices] == [pb.FINISH_REASON_LENGTH] * 3


def test_each_choice_keeps_to_the_constraint(stub):
    schema = json.dumps({"type": "object", "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 99}},
                         "required": ["age"], "additionalProperties": False})
    answer = stub.Generate(request(choices={"n": 4}, constraint={"json_schema": schema},
                                   stopping={"max_new_tokens": 100}))
    ages = [json.loads(choice.text)["age"] for choice in answer.choices]
    assert all(0 <= age <= 99 for age in ages) and len(set(ages)) > 1


def mean_logprob(choice):
    return sum(score.logprob for score in choice.logprobs) / len(choice.logprobs)


def test_best_of_returns_the_likeliest_in_falling_order(stub):
    fields = {"output": {"logprobs": True}}
    all_five = list(stub.Generate(request(choices={"n": 5}, **fields)).choices)
    expected = sorted(all_five, key=mean_logprob, reverse=True)[:2]
    best = stub.Generate(request(choices={"n": 2, "best_of": 5}, **fields))
    assert best.settings.choices.best_of == 5
    assert [choice.index for choice in best.choices] == [0, 1]
    assert [choice_bits(choice) for choice in best.choices] == [choice_bits(choice) for choice in expected]
    for choice in best.choices:
        assert choice.score == pytest.approx(mean_logprob(choice), abs=1e-4)
        assert choice.score == pytest.approx(choice.total_logprob / len(choice.token_ids), abs=1e-12)
    assert best.choices[0].score >= best.choices[1].score
    assert best.usage.generated_tokens == sum(len(choice.token_ids) for choice in all_five)
    streamed = fold_choices(stub.StreamGenerate(request(choices={"n": 2, "best_of": 5}, **fields)))
    assert [bits(choice) for choice in streamed] == [choice_bits(choice) for choice in best.choices]
    assert [choice.deltas for choice in streamed] == [1, 1]
    assert [choice.finished.score for choice in streamed] == [choice.score for choice in best.choices]


@pytest.mark.parametrize("choices", [{"n": 4}, {"n": 2, "best_of": 4}])
def test_cancel_ends_every_choice_that_had_not_ended(server, stub, choices):
    events = []
    name = f"several of {choices}"
    stream = stub.StreamGenerate(request(request_id=name, choices=choices, stopping=LONG))
    events.append(next(stream))
    if "best_of" not in choices:
        events += [next(stream), next(stream)]
    assert stub.Cancel(hocket_pb2.CancelRequest(request_id=name)).found
    with pytest.raises(grpc.RpcError) as error:
        for event in stream:
            events.append(event)
    assert error.value.code() == grpc.StatusCode.CANCELLED
    answers = fold_choices(events)
    assert len(answers) == choices["n"]
    assert {choice.finished.finish_reason for choice in answers} == {pb.FINISH_REASON_CANCELLED}
    await_idle(server)


def test_a_choice_that_had_ended_keeps_its_reason(server, stub):
    """Few tales have a king, and late as a rule; the other choices are cancelled after the first end."""
    several = request(request_id="some end", choices={"n": 16},
                      stopping={"max_new_tokens": 900, "ignore_eos": True, "stop_strings": ["king"]})
    events = []
    stream = stub.StreamGenerate(several)
    with pytest.raises(grpc.RpcError):
        for event in stream:
            events.append(event)
            if event.HasField("finished") and len(events) > 1:
                stub.Cancel(hocket_pb2.CancelRequest(request_id="some end"))
    reasons = [choice.finished.finish_reason for choice in fold_choices(events)]
    assert pb.FINISH_REASON_STOP_STRING in reasons and pb.FINISH_REASON_CANCELLED in reasons
    await_idle(server)


def test_a_deadline_ends_all_choices(server, stub):
    with pytest.raises(grpc.RpcError) as error:
        for _ in range(100):  # A fast machine may finish one in time.
            stub.Generate(request(choices={"n": 4}, stopping=LONG), timeout=0.1)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await_idle(server)


def test_a_client_that_leaves_frees_all_its_sequences(server, stub):
    stream = stub.StreamGenerate(request(choices={"n": 6}, stopping=LONG))
    next(stream), next(stream)
    stream.cancel()
    await_idle(server)


def test_a_shutdown_ends_all_choices_and_leaves_nothing_to_go_on_from():
    events = []
    with ServerProcess("--drain-seconds", "0") as own, grpc.insecure_channel(own.target) as channel:
        stream = hocket_pb2_grpc.HocketStub(channel).StreamGenerate(request(choices={"n": 2}, stopping=LONG))
        events += [next(stream), next(stream)]
        own.terminate()
        with pytest.raises(grpc.RpcError) as error:
            for event in stream:
                events.append(event)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        own.wait(30)
    for choice in fold_choices(events):
        assert choice.finished.finish_reason == pb.FINISH_REASON_SHUTDOWN
        assert not choice.finished.HasField("resume")


@pytest.mark.parametrize("fields, words", [
    ({"choices": {"n": 65}}, ["choices.n", "65", "[1, 64]"]),
    ({"choices": {"n": 3, "best_of": 2}}, ["choices.best_of", "2", "[3, 64]"]),
    ({"choices": {"n": 2}, "sampling": {"temperature": 0}}, ["choices.n", "2", "temperature 0"]),
    ({"choices": {"n": 2}, "resume": {"generated_tokens": [5]}}, ["choices.n", "2", "resume"]),
])
def test_what_makes_no_sense_is_refused_by_name(stub, fields, words):
    with pytest.raises(grpc.RpcError) as error:
        stub.Generate(request(**fields))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    for word in words:
        assert word in error.value.details()


def test_what_was_set_comes_back_and_repeats_the_answer(stub):
    first = stub.Generate(request(choices={"n": 2, "best_of": 3}))
    settings = first.settings
    again = stub.Generate(generate_request(
        sampling=settings.sampling, stopping=settings.stopping, choices=settings.choices, output=settings.output,
        context=settings.context, speculation=settings.speculation))
    assert [choice_bits(choice) for choice in again.choices] == [choice_bits(choice) for choice in first.choices]
    assert again.settings == settings


CHOICE_LIST = {"choice": {"choices": ["a red fox", "a brown bear"]}}
KINDS = [
    {"choices": {"n": 3}},
    {"choices": {"n": 2, "best_of": 4}},
    {"choices": {"n": 3}, "stopping": {"max_new_tokens": 60, "stop_strings": [".", ","]}},
    {"choices": {"n": 2}, "constraint": {"regex": "[a-z]{3,9}( [a-z]{3,9}){2}"}},
    {"choices": {"n": 3}, "context": {"policy": pb.CONTEXT_POLICY_ROLL, "kept_tokens": 4}, "text": "river " * 200,
     "stopping": {"max_new_tokens": 300, "ignore_eos": True}},
    {"choices": {"n": 2}, "speculation": {"prompt_lookup": True}, "text": "the fox and the bear " * 20},
    {"choices": {"n": 3}, "beam_search": {"width": 4}, "sampling": {"repetition_penalty": 1.2}},
    {"choices": {"n": 2}, "beam_search": {"width": 3}, "constraint": CHOICE_LIST, "sampling": {}},
    {"choices": {"n": 2}, "beam_search": {"width": 5}, "stopping": {"max_new_tokens": 60, "stop_at_sentence_end": True},
     "sampling": {}},
]


def test_every_kind_is_the_same_alone_and_in_one_batch_with_all_others(server, stub):
    def answer(fields):
        return [choice_bits(choice) for choice in stub.Generate(request(**fields)).choices]

    alone = [answer(fields) for fields in KINDS]
    with concurrent.futures.ThreadPoolExecutor(2 * len(KINDS)) as pool:
        together = list(pool.map(answer, KINDS + KINDS[::-1]))
    assert together == alone + alone[::-1]
    await_idle(server)


def test_a_search_tells_no_more_texts_than_there_are(stub):
    answer = stub.Generate(request(choices={"n": 4}, beam_search={"width": 4}, constraint={"regex": "[xy]"}, sampling={}))
    assert {choice.text for choice in answer.choices[:2]} == {"x", "y"}
    for choice in answer.choices[2:]:
        assert choice.text == "" and not choice.token_ids and not choice.HasField("score")
        assert choice.finish_reason == pb.FINISH_REASON_CONSTRAINT


def hocket(*arguments):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def test_the_command_line_prints_each_choice_with_its_score():
    flags = ["generate", "--prompt", "Once upon a time", "--seed", 4, "--temperature", 1, "--max-new-tokens", 20,
             "--n", 2, "--best-of", 4]
    done = hocket(*flags)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("[0] score -") and any(line.startswith("[1] score -") for line in lines)
    answer = json.loads(hocket(*flags, "--format", "json").stdout)
    assert answer["best_of"] == 4 and [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert answer["choices"][0]["score"] >= answer["choices"][1]["score"]
    assert all(choice["text"] in done.stdout for choice in answer["choices"])
    assert answer["usage"]["generated_tokens"] >= sum(len(choice["tokens"]) for choice in answer["choices"])
