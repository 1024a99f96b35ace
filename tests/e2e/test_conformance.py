"""What the contract promises of every answer, whatever goes in and whatever is set: a stream and a unary call say the
same, what was set comes back and repeats the answer, usage and timings add up, deltas cut nothing in two."""

import json
import time

import pytest

from generation import bits, choice_bits, fold_choices, generate_request

import grpc

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2

TALE = "Once upon a time a fox and a bear went down to the river. "
DRAWN = {"sampling": {"temperature": 1.0, "seed": 8}, "stopping": {"max_new_tokens": 30}}
CHAT = {"messages": [{"role": "system", "content": "You tell short tales."},
                     {"role": "user", "content": "Tell me of a naïve fox 🦊."}]}
PERSON = json.dumps({"type": "object", "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 99}},
                     "required": ["age"], "additionalProperties": False})

INPUTS = {
    "text": {"text": TALE},
    "text as it is": {"text": TALE, "add_special_tokens": False},
    "one character": {"text": "A"},
    "many bytes": {"text": "🦊🐻 «naïve» — こんにちは"},
    "tokens": {"tokens": {"ids": list(range(40, 70))}},
    "one token": {"tokens": {"ids": [40]}},
    "chat": {"chat": CHAT},
    "chat without an opening": {"chat": {**CHAT, "add_generation_prompt": False}},
}
ROLL = {"policy": pb.CONTEXT_POLICY_ROLL, "kept_tokens": 4}
SETTINGS = {
    "plain": {},
    "several": {"choices": {"n": 3}},
    "the best of several": {"choices": {"n": 2, "best_of": 4}},
    "beams": {"sampling": {"seed": 8}, "choices": {"n": 2}, "beam_search": {"width": 3}},
    "scores": {"output": {"top_logprobs": 3, "token_pieces": True}},
    "scores after filtering": {"sampling": {"temperature": 0.7, "top_k": 9, "seed": 8},
                               "output": {"top_logprobs": 3, "logprobs_stage": pb.LOGPROBS_STAGE_AFTER_FILTERING}},
    "scores of the prompt": {"output": {"prompt_top_logprobs": 2}},
    "no ids": {"output": {"token_ids": False, "logprobs": True}},
    "special tokens": {"output": {"special_tokens_in_text": True}, "stopping": {"max_new_tokens": 30, "ignore_eos": True},
                       "sampling": {"temperature": 1.0, "seed": 8, "logit_bias": {2: 12.0}}},
    "a schema": {"constraint": {"json_schema": PERSON}},
    "stops": {"stopping": {"max_new_tokens": 200, "stop_strings": [".", " and"], "stop_tokens": [300],
                           "include_stop_string": True}},
    "guesses": {"speculation": {"prompt_lookup": True, "max_draft_tokens": 5}},
    "a truncated prompt": {"context": {"policy": pb.CONTEXT_POLICY_STOP, "truncate_prompt_tokens": 5}},
    "a rolling context": {"stopping": {"max_new_tokens": 1200, "ignore_eos": True}, "context": ROLL},
    "all at once": {"choices": {"n": 2}, "output": {"top_logprobs": 1, "prompt_logprobs": True},
                    "sampling": {"temperature": 1.1, "top_k": 50, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.1,
                                 "frequency_penalty": 0.1, "bad_words": ["bear"], "seed": 2**64 - 1},
                    "speculation": {"prompt_lookup": True}, "constraint": {"regex": "[A-Za-z ,.]+"},
                    "scheduling": {"priority": pb.PRIORITY_CLASS_INTERACTIVE, "cache_salt": "own"}},
}
# Every setting with one input, and every input with several choices and their scores.
PAIRS = [("text", name) for name in SETTINGS] + [(name, "all at once") for name in INPUTS if name != "text"]


def request(fields, **more):
    return generate_request(**{**DRAWN, **fields, **more})


def folded_stream(stub, sent):
    """The events by choice, having checked their order."""
    events = list(stub.StreamGenerate(sent, timeout=60))
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "started" and kinds.count("started") == 1
    scores = [at for at, kind in enumerate(kinds) if kind == "prompt_scores"]
    assert scores == list(range(1, 1 + len(scores))), "all scores of the prompt come before the first delta"
    return fold_choices(events)


def end_of(message):
    given = [field for field in ("stop_string", "stop_token", "total_logprob", "score") if message.HasField(field)]
    return {field: getattr(message, field) for field in ["finish_reason", *given]}


def check_usage(usage, timings, wall_s, choices, generated):
    assert 0 <= usage.cached_tokens <= usage.prompt_tokens and usage.prompt_tokens > 0
    assert usage.generated_tokens == generated if generated is not None else usage.generated_tokens >= choices
    parts = [timings.queued.ToNanoseconds(), timings.prefill.ToNanoseconds(), timings.decode.ToNanoseconds()]
    assert all(part >= 0 for part in parts) and sum(parts) > 0
    assert sum(parts) <= 1e9 * wall_s, "more time than the call took"


@pytest.mark.parametrize("given, named", PAIRS)
def test_a_stream_and_a_unary_call_say_the_same(stub, given, named):
    sent = request({**INPUTS[given], **SETTINGS[named]})
    streamed = folded_stream(stub, sent)
    began = time.monotonic()
    unary = stub.Generate(sent, timeout=60)
    wall_s = time.monotonic() - began
    assert [choice.index for choice in unary.choices] == list(range(len(streamed)))
    assert [choice_bits(choice) for choice in unary.choices] == [bits(choice) for choice in streamed]
    assert [end_of(choice) for choice in unary.choices] == [end_of(choice.finished) for choice in streamed]
    assert list(unary.prompt_scores) == streamed[0].prompt_scores
    assert unary.settings == streamed[0].started.settings and unary.model == streamed[0].started.model
    assert unary.request_id != streamed[0].started.request_id and unary.request_id
    last = next(choice.finished for choice in streamed if choice.finished.HasField("usage"))
    assert last.usage.generated_tokens == unary.usage.generated_tokens
    assert last.usage.prompt_tokens == unary.usage.prompt_tokens == streamed[0].started.prompt_tokens
    assert last.usage.cached_tokens == streamed[0].started.cached_tokens
    told = sum(len(choice.token_ids) for choice in unary.choices)
    ranked = unary.settings.HasField("beam_search") or unary.settings.choices.best_of > unary.settings.choices.n
    exact = told if unary.settings.output.token_ids and not ranked else None
    check_usage(unary.usage, unary.timings, wall_s, len(unary.choices), exact)
    check_scores(unary)


def check_scores(answer):
    """Of each generated token where asked, of each prompt token but the first where asked, and none otherwise."""
    output = answer.settings.output
    for choice in answer.choices:
        tokens = list(choice.token_ids)
        assert not tokens or output.token_ids
        if output.logprobs and output.token_ids:
            assert [score.token_id for score in choice.logprobs] == tokens
        assert output.logprobs or not choice.logprobs
        check_alternatives(choice.logprobs, output.top_logprobs, output.token_pieces)
    assert len(answer.prompt_scores) == (answer.usage.prompt_tokens if output.prompt_logprobs else 0)
    for score in answer.prompt_scores[:1]:
        assert not score.HasField("logprob") and not score.HasField("rank") and not score.top
    check_alternatives(answer.prompt_scores[1:], output.prompt_top_logprobs, output.token_pieces)


def check_alternatives(scores, count, pieces):
    for score in scores:
        assert score.logprob <= 0 and score.rank >= 1 and score.HasField("piece") == pieces
        assert len(score.top) <= count
        order = [(-top.logprob, top.token_id) for top in score.top]
        assert order == sorted(order)
        if score.rank <= len(score.top):
            assert score.top[score.rank - 1].token_id == score.token_id
            assert score.top[score.rank - 1].logprob == score.logprob


@pytest.mark.parametrize("named", SETTINGS)
def test_the_settings_told_repeat_the_answer(stub, named):
    sent = request({"text": TALE, **SETTINGS[named]})
    sent.sampling.ClearField("seed")
    first = stub.Generate(sent, timeout=60)
    settings = {field.name: value for field, value in first.settings.ListFields()}
    assert first.settings.sampling.HasField("seed")
    again = stub.Generate(generate_request(text=TALE, **settings), timeout=60)
    assert again.settings == first.settings
    assert [choice_bits(choice) for choice in again.choices] == [choice_bits(choice) for choice in first.choices]
    for field, value in sent.ListFields():
        if field.name != "text":
            check_kept(value, getattr(first.settings, field.name), field.name)


def check_kept(sent, told, path):
    """Whatever was set is told with the same value."""
    for field, value in sent.ListFields():
        if field.message_type is not None and field.label != field.LABEL_REPEATED:
            check_kept(value, getattr(told, field.name), f"{path}.{field.name}")
        else:
            assert getattr(told, field.name) == value, f"{path}.{field.name}"


def test_explicit_zeros_are_values(stub):
    sent = generate_request(sampling={"temperature": 0, "top_k": 0, "seed": 0}, stopping={"max_new_tokens": 0, "min_new_tokens": 0},
                            output={"top_logprobs": 0, "prompt_top_logprobs": 0})
    answer = stub.Generate(sent)
    assert answer.settings.sampling.HasField("seed") and answer.settings.sampling.seed == 0
    assert answer.settings.sampling.temperature == 0 and answer.settings.stopping.max_new_tokens == 0
    assert not answer.settings.output.logprobs and not answer.prompt_scores
    assert answer.choices[0].finish_reason == pb.FINISH_REASON_LENGTH and answer.choices[0].text == ""
    assert answer.usage.generated_tokens == 0 and answer.usage.prompt_tokens > 0


def test_unset_seeds_differ_and_are_told(stub):
    seeds = {stub.Generate(generate_request(stopping={"max_new_tokens": 1})).settings.sampling.seed for _ in range(4)}
    assert len(seeds) == 4


FOXES = {"constraint": {"regex": "([🦊🐻🐢]|é|こ){20}"}, "sampling": {"temperature": 1.5, "seed": 3},
         "stopping": {"max_new_tokens": 200}}


@pytest.mark.parametrize("more", [{}, {"choices": {"n": 3}}, {"speculation": {"prompt_lookup": True}},
                                  {"stopping": {"max_new_tokens": 200, "stop_strings": ["🦊🐻🐢🐢🐻🐻", "éé🐢"]}}])
def test_a_delta_never_cuts_a_character(stub, more):
    events = list(stub.StreamGenerate(request({**FOXES, **more})))
    for event in events:
        assert "\ufffd" not in event.delta.text
    for choice in fold_choices(events):
        assert 0 < len(choice.text) <= 20 and set(choice.text) <= set("🦊🐻🐢éこ")
        assert len(choice.token_ids) > len(choice.text), "each character was one token, so this shows nothing"


@pytest.mark.parametrize("more", [{}, {"output": {"token_ids": False}}, {"choices": {"n": 3}},
                                  {"choices": {"n": 2, "best_of": 3}}, {"speculation": {"prompt_lookup": True}}])
def test_each_delta_counts_its_choices_tokens(stub, more):
    sent = request({"stopping": {"max_new_tokens": 40, "ignore_eos": True}, **more})
    counted = {}
    for event in stub.StreamGenerate(sent):
        if event.HasField("delta"):
            before = counted.get(event.delta.choice_index, 0)
            assert event.delta.choice_tokens >= before
            assert event.delta.choice_tokens == before + len(event.delta.token_ids) or not event.delta.token_ids
            counted[event.delta.choice_index] = event.delta.choice_tokens
    assert counted == {index: 40 for index in range(sent.choices.n or 1)}


def test_tokens_before_resume_are_counted_too(stub):
    sent = request({"stopping": {"max_new_tokens": 40, "ignore_eos": True}})
    whole = stub.Generate(sent).choices[0]
    sent.resume.generated_tokens.extend(whole.token_ids[:15])
    deltas = [event.delta for event in stub.StreamGenerate(sent) if event.HasField("delta")]
    assert deltas[0].choice_tokens == 15 + len(deltas[0].token_ids) and deltas[-1].choice_tokens == 40
    assert [token for delta in deltas for token in delta.token_ids] == list(whole.token_ids)[15:]


def test_a_stream_fits_where_the_unary_answer_is_too_large(server):
    from hocket.v1 import hocket_pb2_grpc
    sent = request({"stopping": {"max_new_tokens": 500, "ignore_eos": True},
                    "output": {"top_logprobs": 20, "token_pieces": True}})
    with grpc.insecure_channel(server.target, [("grpc.max_receive_message_length", 100_000)]) as channel:
        narrow = hocket_pb2_grpc.HocketStub(channel)
        with pytest.raises(grpc.RpcError) as error:
            narrow.Generate(sent)
        assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(fold_choices(narrow.StreamGenerate(sent))[0].logprobs) == 500


def test_what_tokenize_says_is_what_generate_sees(stub):
    for given in ({"text": TALE}, {"text": TALE, "add_special_tokens": False}, {"chat": CHAT}):
        tokens = stub.Tokenize(hocket_pb2.TokenizeRequest(**given, token_pieces=True))
        assert len(tokens.pieces) == len(tokens.token_ids) and all(tokens.pieces)
        by_text = stub.Generate(generate_request(**given, **DRAWN, output={"prompt_logprobs": True}))
        by_ids = stub.Generate(generate_request(tokens={"ids": tokens.token_ids}, **DRAWN))
        assert [score.token_id for score in by_text.prompt_scores] == list(tokens.token_ids)
        assert list(by_ids.choices[0].token_ids) == list(by_text.choices[0].token_ids)
        if "chat" in given:
            assert CHAT["messages"][1]["content"] in tokens.prompt
            written = stub.Detokenize(hocket_pb2.DetokenizeRequest(token_ids=tokens.token_ids, special_tokens_in_text=True))
            plain = stub.Detokenize(hocket_pb2.DetokenizeRequest(token_ids=tokens.token_ids))
            assert written.text == tokens.prompt and "<|" in written.text and "<|" not in plain.text
        else:
            assert not tokens.prompt


def test_half_a_character_becomes_a_replacement(stub):
    ids = stub.Tokenize(hocket_pb2.TokenizeRequest(text="🦊", add_special_tokens=False)).token_ids
    assert len(ids) > 1
    assert "\ufffd" in stub.Detokenize(hocket_pb2.DetokenizeRequest(token_ids=ids[:-1])).text


def test_a_score_is_of_the_text_or_of_its_tokens_and_adds_up(stub):
    ids = stub.Tokenize(hocket_pb2.TokenizeRequest(text=TALE)).token_ids
    began = time.monotonic()
    by_text = stub.Score(hocket_pb2.ScoreRequest(text=TALE, top_logprobs=4, token_pieces=True, request_id="conformance-scored"))
    wall_s = time.monotonic() - began
    by_ids = stub.Score(hocket_pb2.ScoreRequest(tokens={"ids": ids}, top_logprobs=4, token_pieces=True))
    assert by_text.scores == by_ids.scores and by_text.request_id == "conformance-scored" and by_text.model
    assert [score.token_id for score in by_text.scores] == list(ids)
    assert by_text.total_logprob == pytest.approx(sum(score.logprob for score in by_text.scores[1:]), rel=1e-6)
    check_alternatives(by_text.scores[1:], 4, True)
    check_usage(by_text.usage, by_text.timings, wall_s, 0, 0)
    assert by_text.usage.prompt_tokens == len(ids)


def test_an_embedding_is_pooled_and_scaled_as_asked(stub):
    ids = stub.Tokenize(hocket_pb2.TokenizeRequest(text=TALE)).token_ids

    def embed(**fields):
        began = time.monotonic()
        answer = stub.Embed(hocket_pb2.EmbedRequest(**fields))
        check_usage(answer.usage, answer.timings, time.monotonic() - began, 0, 0)
        return answer

    default = embed(text=TALE)
    assert default.pooling == pb_pooling("MEAN") and default.normalized and default.usage.prompt_tokens == len(ids)
    assert embed(tokens={"ids": ids}).embedding == default.embedding
    raw = embed(text=TALE, normalize=False)
    length = sum(value * value for value in raw.embedding) ** 0.5
    assert not raw.normalized and length != pytest.approx(1, abs=1e-3)
    assert [value / length for value in raw.embedding] == pytest.approx(list(default.embedding), rel=1e-4, abs=1e-6)
    last = embed(text=TALE, pooling=pb_pooling("LAST_TOKEN"))
    assert last.pooling == pb_pooling("LAST_TOKEN") and last.embedding != default.embedding


def pb_pooling(name):
    return hocket_pb2.Pooling.Value(f"POOLING_{name}")


def test_the_first_model_listed_is_the_default(stub):
    listed = stub.ListModels(hocket_pb2.ListModelsRequest()).models
    assert listed[0] == stub.GetModel(hocket_pb2.GetModelRequest()).model
    assert listed[0] == stub.GetModel(hocket_pb2.GetModelRequest(model=listed[0].name)).model
    answer = stub.Generate(generate_request(model=listed[0].name, request_id="conformance-mine", stopping={"max_new_tokens": 1}))
    assert answer.model == listed[0].name and answer.request_id == "conformance-mine"
    assert listed[0].max_context_tokens > 0 and listed[0].end_of_text_tokens and listed[0].chat_template
