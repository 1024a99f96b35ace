"""Every sampling and stopping setting through the real server and the default model."""

import concurrent.futures
import json
import re

import pytest

from generation import bits, fold, generate_request

import grpc

from hocket.v1 import generation_pb2 as pb

PERSON = json.dumps({
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 16}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
                   "likes": {"type": "array", "items": {"enum": ["sea", "hills"]}, "maxItems": 2}},
    "required": ["name", "age", "likes"], "additionalProperties": False})

SETTINGS = [
    {"sampling": {"temperature": 0}},
    {"sampling": {"temperature": 0.8}},
    {"sampling": {"temperature": 1.2, "min_p": 0.05, "seed": 2}},
    {"sampling": {"temperature": 1.2, "typical_p": 0.9, "seed": 2}},
    {"sampling": {"temperature": 1.5, "top_n_sigma": 1, "seed": 2}},
    {"sampling": {"temperature": 1, "xtc": {"probability": 1, "threshold": 0.05}, "seed": 2}},
    {"sampling": {"temperature": 1, "repetition_penalty": 1.2, "presence_penalty": 0.3, "frequency_penalty": 0.2,
                  "penalty_window_tokens": 32, "seed": 2}},
    {"sampling": {"temperature": 1, "dry": {"multiplier": 1}, "seed": 2}},
    {"sampling": {"temperature": 1, "bad_words": ["the", "a"], "seed": 2}},
    {"sampling": {"temperature": 1, "seed": 2}, "constraint": {"json_schema": PERSON}},
    {"sampling": {"temperature": 1, "seed": 2}, "constraint": {"regex": "[a-z]{3,9}( [a-z]{3,9}){2}"}},
    {"sampling": {"temperature": 1, "seed": 2}, "stopping": {"stop_at_sentence_end": True}},
]


def request(fields, tokens=40):
    fields = {**fields, "stopping": {"max_new_tokens": tokens, **fields.get("stopping", {})}}
    if "sampling" in fields and "seed" not in fields["sampling"]:
        fields["sampling"] = {**fields["sampling"], "seed": 1}
    return generate_request(output={"top_logprobs": 2, "logprobs_stage": pb.LOGPROBS_STAGE_AFTER_FILTERING}, **fields)


def test_every_setting_gives_the_same_alone_and_in_one_batch_with_all_others(stub):
    alone = [bits(fold(stub.StreamGenerate(request(fields)))) for fields in SETTINGS]
    with concurrent.futures.ThreadPoolExecutor(len(SETTINGS)) as pool:
        together = list(pool.map(lambda fields: bits(fold(stub.StreamGenerate(request(fields)))), SETTINGS))
    assert together == alone
    assert len(set(alone)) > len(SETTINGS) // 2


@pytest.mark.parametrize("temperature", [0, 0.7, 1.5, 10])
def test_json_is_valid_at_any_temperature(stub, temperature):
    for seed in range(3):
        choice = stub.Generate(request({"sampling": {"temperature": temperature, "seed": seed},
                                        "constraint": {"json_schema": PERSON}}, tokens=300)).choices[0]
        person = json.loads(choice.text)
        assert set(person) == {"name", "age", "likes"} and 0 <= person["age"] <= 150
        assert choice.finish_reason == pb.FINISH_REASON_CONSTRAINT


def test_each_kind_of_constraint_is_kept_to(stub):
    def text(constraint):
        sampling = {"temperature": 1.5, "seed": 4}
        return stub.Generate(request({"sampling": sampling, "constraint": constraint}, tokens=100)).choices[0].text

    assert text({"choice": {"choices": ["north", "south"]}}) in ("north", "south")
    assert re.fullmatch(r"[0-9]{2}:[0-9]{2}", text({"regex": "[0-9]{2}:[0-9]{2}"}))
    assert re.fullmatch(r"(x,)*x?", text({"lark": 'start: "x" ("," "x")*'}))


@pytest.mark.parametrize("constraint, words", [
    ({"json_schema": '{"type": "objekt"}'}, ["constraint.json_schema", "objekt"]),
    ({"json_schema": '{"type": '}, ["constraint.json_schema", "line 1"]),
    ({"regex": "(a"}, ["constraint.regex"]),
    ({"lark": "start: nothing"}, ["constraint.lark", "nothing"]),
    ({"choice": {}}, ["constraint.choice"]),
])
def test_a_bad_constraint_is_refused_in_the_librarys_words(stub, constraint, words):
    with pytest.raises(grpc.RpcError) as error:
        stub.Generate(generate_request(constraint=constraint))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    for word in words:
        assert word in error.value.details()


def test_what_was_set_comes_back(stub):
    sent = request({"sampling": {"temperature": 1, "min_p": 0.25, "dry": {"base": 2}, "logit_bias": {5: 1.5}},
                    "constraint": {"regex": "[a-z]+"}, "context": {"truncate_prompt_tokens": 3}}, tokens=4)
    settings = stub.Generate(sent).settings
    assert settings.sampling.min_p == 0.25
    assert settings.sampling.dry.base == 2 and settings.sampling.dry.allowed_length == 2
    assert settings.sampling.logit_bias == {5: 1.5}
    assert settings.constraint.regex == "[a-z]+"
    assert settings.context.truncate_prompt_tokens == 3


def test_the_reason_of_the_end_is_told(stub):
    def reason(**stopping):
        fields = {"sampling": {"temperature": 0}, "stopping": {"ignore_eos": True, **stopping}}
        return stub.Generate(request(fields, tokens=200)).choices[0].finish_reason

    assert reason(stop_at_sentence_end=True) == pb.FINISH_REASON_SENTENCE
    assert reason(time_limit={"nanos": 1}) == pb.FINISH_REASON_TIME_LIMIT
    assert reason(max_new_tokens=3) == pb.FINISH_REASON_LENGTH
    forced = generate_request(sampling={"temperature": 0, "allowed_tokens": [5]}, stopping={
        "max_new_tokens": 50, "repetition_detection": {"max_pattern_tokens": 1, "min_repeats": 3}})
    choice = stub.Generate(forced).choices[0]
    assert choice.finish_reason == pb.FINISH_REASON_REPETITION
    assert list(choice.token_ids) == [5, 5, 5]
