"""What docs/api.md says of each kind of bad and of unusual input."""

import json
import math
import re

from error_details import STREAMS, failure, raw_call
from generation import generate_request

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2


def present(message, field):
    """The message with a field that is present and empty."""
    getattr(message, field).SetInParent()
    return message


BIG_SCHEMA = json.dumps({"description": "x" * 2**20})
TOO_LONG_ID = "x" * 129
CHAT = {"messages": [{"role": "user", "content": "x"}]}
Score, Embed = hocket_pb2.ScoreRequest, hocket_pb2.EmbedRequest
Tokenize, Detokenize = hocket_pb2.TokenizeRequest, hocket_pb2.DetokenizeRequest

# (The field that is named, the request.) All are INVALID_FIELD.
WRONG = [
    *[(f"sampling.{field}", generate_request(sampling={field: value}))
      for field in ("temperature", "top_p", "min_p", "typical_p", "top_n_sigma", "repetition_penalty", "presence_penalty",
                    "frequency_penalty")
      for value in (math.nan, math.inf, -math.inf)],
    ("sampling.logit_bias[5]", generate_request(sampling={"logit_bias": {5: math.nan}})),
    ("sampling.logit_bias", generate_request(sampling={"logit_bias": {-5: 1}})),
    ("sampling.allowed_tokens[1]", generate_request(sampling={"allowed_tokens": [5, 2**31 - 1]})),
    ("sampling.allowed_tokens", generate_request(sampling={"allowed_tokens": [5], "banned_tokens": [5, 5]})),
    ("sampling.banned_tokens", generate_request(sampling={"banned_tokens": [5] * 65537})),
    ("sampling.bad_words[1]", generate_request(sampling={"bad_words": ["a", ""]})),
    ("stopping.max_new_tokens", generate_request(stopping={"max_new_tokens": -2**31})),
    ("stopping.min_new_tokens", generate_request(stopping={"max_new_tokens": 4, "min_new_tokens": 5})),
    ("stopping.stop_strings", generate_request(stopping={"stop_strings": ["x"] * 65})),
    ("stopping.time_limit", generate_request(stopping={"time_limit": {"seconds": 315576000001}})),
    ("choices.n", generate_request(choices={"n": 2**31 - 1})),
    ("choices.best_of", generate_request(choices={"n": 3, "best_of": 2}, sampling={"temperature": 1})),
    ("choices.n", generate_request(choices={"n": 2}, sampling={"temperature": 0})),
    ("beam_search.width", present(generate_request(), "beam_search")),
    ("beam_search.early_stopping", generate_request(beam_search={"width": 2, "early_stopping": 9})),
    ("output.top_logprobs", generate_request(output={"logprobs": False, "top_logprobs": 1})),
    ("output.logprobs_stage", generate_request(output={"logprobs_stage": 9})),
    ("context.policy", generate_request(context={"policy": -1})),
    ("context.kept_tokens", generate_request(context={"kept_tokens": 1})),
    ("scheduling.priority", generate_request(scheduling={"priority": 9})),
    ("scheduling.cache_salt", generate_request(scheduling={"cache_salt": "x" * 257})),
    ("speculation.max_draft_tokens", generate_request(speculation={"max_draft_tokens": 33})),
    ("input", pb.GenerateRequest()),
    ("input", pb.GenerateRequest(text="", add_special_tokens=False)),
    ("input", present(pb.GenerateRequest(), "tokens")),
    ("tokens.ids[0]", pb.GenerateRequest(tokens={"ids": [-1]})),
    ("chat.messages", present(pb.GenerateRequest(), "chat")),
    ("chat.messages[0].role", pb.GenerateRequest(chat={"messages": [{"content": "x"}]})),
    ("chat", pb.GenerateRequest(chat={"messages": [{"role": "wizard", "content": "x"}]})),
    ("add_special_tokens", pb.GenerateRequest(chat=CHAT, add_special_tokens=True)),
    ("request_id", generate_request(request_id=TOO_LONG_ID)),
    ("request_id", generate_request(request_id="two\nlines")),
    ("constraint", present(generate_request(), "constraint")),
    *[("constraint.json_schema", generate_request(constraint={"json_schema": schema})) for schema in (
        "", "{", "[]", "5", "null", '{"type": 5}', '{"type": "strng"}', '{"properties": []}', '{"required": "a"}',
        '{"minLength": -1, "type": "string"}', '{"pattern": "(", "type": "string"}', '{"$ref": "#/nowhere"}',
        '{"$ref": "http://localhost/x"}', "false", '{"properties": {"a":' * 2000 + "1" + "}}" * 2000, BIG_SCHEMA)],
    *[("constraint.regex", generate_request(constraint={"regex": regex}))
      for regex in ("", "(", "(?=a)b", r"(a)\1", "x" * 65537)],
    *[("constraint.lark", generate_request(constraint={"lark": lark})) for lark in ("", "x", "start: nobody")],
    ("constraint.choice.choices", generate_request(constraint={"choice": {"choices": ["x"] * 4097}})),
    ("constraint.choice.choices", generate_request(constraint=present(pb.Constraint(), "choice"))),
    ("input", Score()), ("input", Embed()), ("input", Tokenize()),
    ("input", present(Score(), "tokens")),
    ("top_logprobs", Score(text="x", top_logprobs=-1)),
    ("request_id", Score(text="x", request_id=TOO_LONG_ID)),
    ("add_special_tokens", Score(tokens={"ids": [40]}, add_special_tokens=False)),
    ("pooling", Embed(text="x", pooling=9)),
    ("request_id", Embed(text="x", request_id="\x7f")),
    ("add_special_tokens", Tokenize(chat=CHAT, add_special_tokens=True)),
    ("chat.messages", present(Tokenize(), "chat")),
    ("token_ids[1]", Detokenize(token_ids=[5, -1])),
    ("token_ids[0]", Detokenize(token_ids=[2**31 - 1])),
    ("request_id", hocket_pb2.CancelRequest()),
    ("request_id", hocket_pb2.CancelRequest(request_id=TOO_LONG_ID)),
]


def method_of(stub, message):
    return getattr(stub, type(message).__name__.removesuffix("Request"))


def test_what_is_wrong_is_an_invalid_field_by_its_path(stub):
    for field, message in WRONG:
        print(field, str(message)[:200])  # For whoever reads of a failure.
        seen = failure(method_of(stub, message), message)
        assert (seen.code, seen.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD"), (field, seen.message)
        assert seen.metadata == {"field": field}, seen.message
        assert [path for path, _ in seen.violations] == [field]
        assert seen.message.startswith(f"{field}: ") and len(seen.message) < 1000


def test_what_is_too_long_says_so_and_by_how_much(stub):
    for field, message in [
            ("tokens.ids", pb.GenerateRequest(tokens={"ids": [40] * 1025})),
            ("input", pb.GenerateRequest(tokens={"ids": [40] * 1024})),
            ("stopping.max_new_tokens", generate_request(stopping={"max_new_tokens": 2**31 - 1})),
            ("text", generate_request("x" * (2**20 + 1))),
            ("chat", pb.GenerateRequest(chat={"messages": [{"role": "user", "content": "x" * 2**20}]})),
            ("tokens.ids", Score(tokens={"ids": [40] * 1025})),
            ("input", Embed(text="a fox " * 5000)),
            ("text", Tokenize(text="x" * (2**20 + 1)))]:
        seen = failure(method_of(stub, message), message)
        assert (seen.code, seen.reason, seen.metadata) == ("INVALID_ARGUMENT", "PROMPT_TOO_LONG", {"field": field})
        assert re.search(r"\d{4}", seen.message)


def test_each_method_refuses_what_it_does_not_know_and_cannot_read(channel):
    for method in ("Generate", "Score", "Embed", "Tokenize", "Detokenize", "Cancel", "ListModels", "GetModel", *STREAMS):
        unknown = failure(raw_call, channel, method, b"\xf8\x07\x01")
        assert (unknown.code, unknown.reason, unknown.metadata) == ("INVALID_ARGUMENT", "UNKNOWN_FIELD", {"field": "127"}), method
        malformed = failure(raw_call, channel, method, b"\xff")
        assert (malformed.code, malformed.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE"), method
        assert f"hocket.v1.{method.removeprefix('Stream')}Request" in malformed.message


def test_what_is_unusual_but_right_is_answered(stub):
    two = {"max_new_tokens": 2}
    for sampling in ({"temperature": 1e-45}, {"temperature": 3e38}, {"top_k": 2**31 - 1}, {"top_p": 1e-45},
                     {"typical_p": 1e-45}, {"repetition_penalty": 1e-45}, {"seed": 2**64 - 1},
                     {"allowed_tokens": [40, 40], "banned_tokens": [41, 41], "bad_words": ["x", "x"]}):
        assert stub.Generate(generate_request(sampling=sampling, stopping=two)).usage.generated_tokens > 0
    nothing = stub.Generate(generate_request(stopping={"max_new_tokens": 0}, choices={"n": 2}, sampling={"temperature": 1}))
    assert [choice.text for choice in nothing.choices] == ["", ""] and nothing.usage.generated_tokens == 0
    assert stub.Generate(generate_request(tokens={"ids": [40]}, stopping=two)).usage.prompt_tokens == 1
    twice = {"stop_strings": ["q", "q"], "stop_tokens": [3, 3], **two}
    assert stub.Generate(generate_request(stopping=twice)).settings.stopping.stop_strings == ["q", "q"]
    same = generate_request(constraint={"choice": {"choices": ["a", "a"]}}, stopping=two)
    assert stub.Generate(same).choices[0].text == "a"
    default = stub.Generate(generate_request(stopping=two, scheduling={"priority": 0}), timeout=3e8)
    assert default.settings.scheduling.priority == pb.PRIORITY_CLASS_STANDARD
    one = stub.Score(Score(tokens={"ids": [40]}))
    assert len(one.scores) == 1 and not one.scores[0].HasField("logprob")
    assert stub.Tokenize(Tokenize(text="")).token_ids == [] and stub.Detokenize(Detokenize()).text == ""
    assert not stub.Cancel(hocket_pb2.CancelRequest(request_id="nobody's")).found
    assert stub.GetModel(hocket_pb2.GetModelRequest()).model.name == "tales"


def test_what_comes_twice_on_the_wire_counts_once_and_last(channel):
    text, tokens = pb.GenerateRequest(text="x"), pb.GenerateRequest(tokens={"ids": [40]}, stopping={"max_new_tokens": 1})
    greedy, drawn = pb.GenerateRequest(sampling={"temperature": 0}), pb.GenerateRequest(sampling={"temperature": 1})
    wire = b"".join(part.SerializeToString() for part in (text, tokens, drawn, greedy))
    answer = pb.GenerateResponse.FromString(raw_call(channel, "Generate", wire))
    assert answer.usage.prompt_tokens == 1 and answer.settings.sampling.temperature == 0


def test_what_grpc_itself_refuses_has_no_reason(stub, channel):
    large = failure(stub.Tokenize, Tokenize(text="x" * (9 << 20)))
    assert (large.code, large.reason) == ("RESOURCE_EXHAUSTED", "")
    assert failure(raw_call, channel, "Nothing", b"").code == "UNIMPLEMENTED"
    assert failure(stub.Generate, generate_request(), timeout=-1).code == "DEADLINE_EXCEEDED"
