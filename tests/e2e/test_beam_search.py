"""Beam search through the real server, beside an exhaustive search and the scores of Score."""

import concurrent.futures
import json
import subprocess

import pytest

from busy import neighbours
from generation import bits, choice_bits, fold_choices, generate_request
from server_process import BINARY, ServerProcess
from test_lifecycle import await_idle, gauge

import grpc

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2, hocket_pb2_grpc

PROMPT = "Once upon a time there was a"


def beams(width=4, n=None, tokens=24, ignore_eos=True, search=None, **fields):
    stopping = {"max_new_tokens": tokens, "ignore_eos": ignore_eos, **fields.pop("stopping", {})}
    return generate_request(text=fields.pop("text", PROMPT), beam_search={"width": width, **(search or {})},
                            choices={"n": n or width}, stopping=stopping, **fields)


def prompt_ids(stub, text=PROMPT):
    return list(stub.Tokenize(hocket_pb2.TokenizeRequest(text=text)).token_ids)


def total_logprob(stub, prompt, answer):
    scores = stub.Score(hocket_pb2.ScoreRequest(tokens={"ids": prompt + answer})).scores
    return sum(score.logprob for score in scores[len(prompt):])


def test_choices_come_by_falling_score_and_the_score_is_what_score_says(stub):
    answer = stub.Generate(beams(width=6, n=4))
    prompt = prompt_ids(stub)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert len({tuple(choice.token_ids) for choice in answer.choices}) == 4
    scores = [choice.score for choice in answer.choices]
    assert scores == sorted(scores, reverse=True)
    for choice in answer.choices:
        assert len(choice.token_ids) == 24 and choice.finish_reason == pb.FINISH_REASON_LENGTH
        assert choice.total_logprob == pytest.approx(total_logprob(stub, prompt, list(choice.token_ids)), abs=2e-2)
        assert choice.score == pytest.approx(choice.total_logprob / 24, abs=1e-6)


def test_two_tokens_are_as_an_exhaustive_search_finds_them(stub):
    """Of 20 beams, the 20 best pairs are the best of all pairs of a first and a next token."""
    def likeliest(tokens):
        choice = stub.Generate(generate_request(
            tokens={"ids": tokens}, sampling={"temperature": 0}, output={"top_logprobs": 20},
            stopping={"max_new_tokens": 1, "ignore_eos": True})).choices[0]
        return [(entry.token_id, entry.logprob) for entry in choice.logprobs[0].top]

    prompt = prompt_ids(stub)
    pairs = [(first_logprob + second_logprob, first, second) for first, first_logprob in likeliest(prompt)
             for second, second_logprob in likeliest(prompt + [first])]
    expected = sorted(pairs, reverse=True)[:20]
    found = stub.Generate(beams(width=20, tokens=2)).choices
    assert [tuple(choice.token_ids) for choice in found] == [pair[1:] for pair in expected]
    for choice, (total, _, _) in zip(found, expected):
        assert choice.total_logprob == pytest.approx(total, abs=1e-4)


def test_it_finds_texts_at_least_as_likely_as_the_greedy_one(stub):
    prompt = prompt_ids(stub)
    greedy = stub.Generate(generate_request(text=PROMPT, sampling={"temperature": 0}, stopping={
        "max_new_tokens": 24, "ignore_eos": True})).choices[0]
    best = stub.Generate(beams(width=8, n=1)).choices[0]
    assert best.total_logprob >= total_logprob(stub, prompt, list(greedy.token_ids)) - 1e-3


@pytest.mark.parametrize("penalty", [-1.0, 0.0, 0.5, 2.0])
def test_the_length_penalty_is_the_power_of_the_length(stub, penalty):
    answer = stub.Generate(beams(width=4, tokens=60, ignore_eos=False, search={"length_penalty": penalty}))
    for choice in answer.choices:
        expected = choice.total_logprob / len(choice.token_ids) ** penalty
        assert choice.score == pytest.approx(expected, rel=1e-5)
    scores = [choice.score for choice in answer.choices]
    assert scores == sorted(scores, reverse=True)


def test_early_stopping_in_all_three_ways(stub):
    answers = {}
    for way in ("NEVER", "HEURISTIC", "ALWAYS"):
        value = pb.BeamSearchSettings.EarlyStopping.Value("EARLY_STOPPING_" + way)
        answer = stub.Generate(beams(width=3, tokens=80, ignore_eos=False, text="The end",
                                     search={"early_stopping": value}))
        assert answer.settings.beam_search.early_stopping == value
        answers[way] = answer
    best = {way: answer.choices[0].score for way, answer in answers.items()}
    assert best["NEVER"] >= best["HEURISTIC"] - 1e-6 >= best["ALWAYS"] - 2e-6
    for answer in answers.values():
        assert answer.usage.generated_tokens == sum(len(choice.token_ids) for choice in answer.choices)


def test_it_is_the_same_as_a_stream_in_a_busy_batch_and_with_few_blocks(stub):
    watched = beams(width=5, n=3, tokens=60, output={"logprobs": True})
    expected = [choice_bits(choice) for choice in stub.Generate(watched).choices]
    streamed = fold_choices(stub.StreamGenerate(watched))
    assert [bits(choice) for choice in streamed] == expected
    assert [choice.deltas for choice in streamed] == [1, 1, 1]
    with neighbours(stub):
        for _ in range(2):
            assert [choice_bits(choice) for choice in stub.Generate(watched).choices] == expected
    with ServerProcess("--kv-cache-bytes", "2MiB", "--max-step-tokens", "48") as small, \
            grpc.insecure_channel(small.target) as channel:
        own = hocket_pb2_grpc.HocketStub(channel)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: own.Generate(watched), range(4)))
    for answer in answers:
        assert [choice_bits(choice) for choice in answer.choices] == expected


def test_eight_beams_hold_the_prompt_once(server, stub):
    await_idle(server)
    text = "A fox came down to the river to drink and met a bear. " * 50
    tokens = len(prompt_ids(stub, text))
    assert 500 < tokens < 900
    most = 0
    call = stub.StreamGenerate(beams(width=8, n=1, tokens=100, text=text, request_id="wide"))
    next(call)
    while True:
        most = max(most, gauge(server, "hocket_kv_blocks_used"))
        if not gauge(server, "hocket_requests_running"):
            break
    for _ in call:
        pass
    own = 8 * (100 // 16 + 2)
    assert 0 < most <= tokens // 16 + 1 + own
    await_idle(server)


def test_cancel_and_deadline_in_the_middle_of_a_search(server, stub):
    stream = stub.StreamGenerate(beams(width=4, n=2, tokens=900, request_id="search"))
    events = [next(stream)]
    assert stub.Cancel(hocket_pb2.CancelRequest(request_id="search")).found
    with pytest.raises(grpc.RpcError) as error:
        for event in stream:
            events.append(event)
    assert error.value.code() == grpc.StatusCode.CANCELLED
    reasons = [choice.finished.finish_reason for choice in fold_choices(events)]
    assert reasons == [pb.FINISH_REASON_CANCELLED] * 2
    with pytest.raises(grpc.RpcError) as error:
        for _ in range(100):
            stub.Generate(beams(width=4, tokens=900), timeout=0.1)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await_idle(server)


@pytest.mark.parametrize("fields, words", [
    ({"width": 1, "n": 1}, ["beam_search.width", "1", "[2, 64]"]),
    ({"width": 2, "n": 3}, ["choices.n", "3", "[1, 2]"]),
    ({"sampling": {"temperature": 0.7}}, ["sampling.temperature", "0.7", "beam_search"]),
    ({"sampling": {"top_k": 5}}, ["sampling.top_k", "5", "beam_search"]),
    ({"speculation": {"prompt_lookup": True}}, ["speculation.prompt_lookup", "beam_search"]),
    ({"sampling": {"seed": 1}, "resume": {"generated_tokens": [5]}}, ["resume.generated_tokens", "beam_search"]),
    ({"context": {"policy": pb.CONTEXT_POLICY_ROLL}}, ["context.policy", "beam_search"]),
])
def test_what_makes_no_sense_is_refused_by_name(stub, fields, words):
    with pytest.raises(grpc.RpcError) as error:
        stub.Generate(beams(**fields))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    for word in words:
        assert word in error.value.details()


def test_the_command_line_searches_too(stub):
    flags = ["generate", "--prompt", PROMPT, "--max-new-tokens", 12, "--ignore-eos", "--beam-width", 4, "--n", 2]
    done = subprocess.run([BINARY, *map(str, flags), "--format", "json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    served = stub.Generate(beams(width=4, n=2, tokens=12))
    assert [choice["tokens"] for choice in answer["choices"]] == [list(c.token_ids) for c in served.choices]
    assert [choice["score"] for choice in answer["choices"]] == [c.score for c in served.choices]
    assert answer["beam_search"] == {"width": 4, "length_penalty": 1, "early_stopping": "heuristic"}
