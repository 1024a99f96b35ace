"""Streaming, unary and the other calls against the real binary on the default model."""

import concurrent.futures
import json
import math
import urllib.request

import pytest

from generation import bits, fold, generate_request

import grpc

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2


def test_stream_starts_deltas_and_finishes(stub):
    result = fold(stub.StreamGenerate(generate_request(
        request_id="one", sampling={"temperature": 0.7, "seed": 3},
        stopping={"max_new_tokens": 400})))
    assert result.started.request_id == "one"
    assert result.started.settings.sampling.seed == 3
    assert result.started.settings.sampling.HasField("top_p")
    assert result.started.prompt_tokens == result.finished.usage.prompt_tokens > 0
    assert result.deltas > 5
    assert len(result.token_ids) == result.finished.usage.generated_tokens <= 400
    assert result.finished.timings.decode.ToNanoseconds() > 0
    assert result.text.strip()


def test_unary_gives_the_same_answer_as_the_stream(stub):
    request = generate_request(sampling={"temperature": 0.9, "top_p": 0.9, "seed": 11},
                               stopping={"max_new_tokens": 48}, output={"top_logprobs": 3})
    streamed = fold(stub.StreamGenerate(request))
    choice = stub.Generate(request).choices[0]
    assert choice.text == streamed.text
    assert list(choice.token_ids) == streamed.token_ids
    assert list(choice.logprobs) == streamed.logprobs
    assert choice.finish_reason == streamed.finished.finish_reason


def test_effective_settings_reproduce_the_answer(stub):
    first = stub.Generate(generate_request(stopping={"max_new_tokens": 24},
                                           sampling={"temperature": 1.0}))
    again = generate_request(sampling=first.settings.sampling, stopping=first.settings.stopping,
                             output=first.settings.output)
    assert stub.Generate(again).choices[0].text == first.choices[0].text


def test_different_seeds_differ_and_temperature_zero_ignores_the_seed(stub):
    def text(seed, temperature):
        return stub.Generate(generate_request(
            sampling={"seed": seed, "temperature": temperature},
            stopping={"max_new_tokens": 32})).choices[0].text
    assert len({text(seed, 1.0) for seed in range(6)}) > 1
    assert len({text(seed, 0.0) for seed in range(3)}) == 1


def test_stories_end_by_themselves(stub):
    reasons = [stub.Generate(generate_request(sampling={"temperature": 0.7, "seed": seed},
                                              stopping={"max_new_tokens": 400})
                             ).choices[0].finish_reason for seed in range(4)]
    assert reasons.count(pb.FINISH_REASON_STOP_TOKEN) >= 3


def test_chat_answers_about_what_was_asked(stub):
    request = pb.GenerateRequest(
        chat={"messages": [{"role": "user", "content": "Tell me a story about a brave fox who "
                                                       "lost a lantern."}]},
        sampling={"temperature": 0.0}, stopping={"max_new_tokens": 300})
    text = stub.Generate(request).choices[0].text
    assert "fox" in text and "<|" not in text


def test_stop_string_split_over_tokens_is_found_and_left_out(stub):
    plain = stub.Generate(generate_request(sampling={"temperature": 0.0},
                                           stopping={"max_new_tokens": 60})).choices[0].text
    middle = len(plain) // 2
    stop = plain[middle:middle + 9]  # Starts and ends wherever, so some token straddles it.
    where = plain.find(stop)
    for include, expected in ((False, plain[:where]), (True, plain[:where + len(stop)])):
        result = fold(stub.StreamGenerate(generate_request(
            sampling={"temperature": 0.0},
            stopping={"max_new_tokens": 60, "stop_strings": ["never there", stop],
                      "include_stop_string": include})))
        assert result.text == expected
        assert result.finished.finish_reason == pb.FINISH_REASON_STOP_STRING
        assert result.finished.stop_string == stop


def test_minimum_and_maximum_length(stub):
    result = fold(stub.StreamGenerate(generate_request(
        sampling={"temperature": 0.7, "seed": 1},
        stopping={"min_new_tokens": 350, "max_new_tokens": 360})))
    assert 350 <= len(result.token_ids) <= 360
    result = fold(stub.StreamGenerate(generate_request(stopping={"max_new_tokens": 0})))
    assert result.token_ids == [] and result.finished.finish_reason == pb.FINISH_REASON_LENGTH


def test_prompt_scores_equal_score(stub):
    tokens = list(stub.Tokenize(hocket_pb2.TokenizeRequest(
        text="Once upon a time there was a small bear.")).token_ids)
    scored = stub.Score(hocket_pb2.ScoreRequest(tokens={"ids": tokens}, top_logprobs=2))
    streamed = fold(stub.StreamGenerate(pb.GenerateRequest(
        tokens={"ids": tokens}, stopping={"max_new_tokens": 1},
        output={"prompt_top_logprobs": 2})))
    assert [s.token_id for s in scored.scores] == tokens
    assert not scored.scores[0].HasField("logprob")
    assert list(streamed.prompt_scores)[-len(tokens) + 1:] == list(scored.scores)[1:]
    assert math.isclose(sum(s.logprob for s in scored.scores[1:]), scored.total_logprob,
                        rel_tol=1e-6)


def test_tokenize_and_detokenize_round_trip(stub):
    text = "A naïve café 🦊 said “hello”.\n\n  Two  spaces."
    ids = stub.Tokenize(hocket_pb2.TokenizeRequest(text=text, add_special_tokens=False)).token_ids
    assert stub.Detokenize(hocket_pb2.DetokenizeRequest(token_ids=ids)).text == text


def test_streamed_text_is_whole_characters_for_a_prompt_of_any_bytes(stub):
    result = fold(stub.StreamGenerate(generate_request(
        text="🦊🐻 «naïve» ", sampling={"temperature": 1.5, "seed": 5},
        stopping={"max_new_tokens": 64, "ignore_eos": True})))
    assert result.text == result.text.encode().decode()


def test_embedding_has_the_models_width_and_unit_length(stub):
    model = stub.GetModel(hocket_pb2.GetModelRequest()).model
    vector = stub.Embed(hocket_pb2.EmbedRequest(text="A small bear.")).embedding
    assert len(vector) == model.hidden_size
    assert math.isclose(sum(x * x for x in vector), 1.0, rel_tol=1e-4)


def test_32_concurrent_clients_each_get_their_own_answer(server, stub):
    def request(seed):
        return generate_request(sampling={"temperature": 1.0, "seed": seed},
                                stopping={"max_new_tokens": 40}, output={"top_logprobs": 2})
    alone = {seed: bits(fold(stub.StreamGenerate(request(seed)))) for seed in range(8)}

    def client(index):
        from hocket.v1 import hocket_pb2_grpc
        with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as own:
            return bits(fold(hocket_pb2_grpc.HocketStub(own).StreamGenerate(request(index % 8))))
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for index, answer in enumerate(pool.map(client, range(32))):
            assert answer == alone[index % 8]


@pytest.mark.parametrize("fields, named", [
    ({"sampling": {"temperature": -1.0}}, "sampling.temperature"),
    ({"sampling": {"temperature": math.nan}}, "sampling.temperature"),
    ({"sampling": {"top_p": 0.0}}, "sampling.top_p"),
    ({"sampling": {"top_k": -3}}, "sampling.top_k"),
    ({"stopping": {"max_new_tokens": 1000000}}, "stopping.max_new_tokens"),
    ({"stopping": {"min_new_tokens": 9, "max_new_tokens": 8}}, "stopping.min_new_tokens"),
    ({"stopping": {"stop_strings": [""]}}, "stopping.stop_strings"),
    ({"output": {"top_logprobs": 21}}, "output.top_logprobs"),
    ({"tokens": {"ids": [1, 99999999]}}, "tokens"),
    ({"tokens": {"ids": []}}, "tokens"),
])
def test_bad_input_names_the_field(stub, fields, named):
    with pytest.raises(grpc.RpcError) as error:
        stub.Generate(generate_request(**fields))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert named in error.value.details()


@pytest.mark.parametrize("fields, named", [
    ({"adapter": "french"}, "adapter"),
])
def test_planned_fields_are_refused_by_name(stub, fields, named):
    with pytest.raises(grpc.RpcError) as error:
        stub.Generate(generate_request(**fields))
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert named in error.value.details()


def test_unknown_model_is_not_found(stub):
    with pytest.raises(grpc.RpcError) as error:
        stub.Generate(generate_request(model="no-such"))
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
    assert "no-such" in error.value.details()


def test_metrics_tell_what_happened(server, stub):
    stub.Generate(generate_request(stopping={"max_new_tokens": 5}))
    text = urllib.request.urlopen(f"http://{server.metrics}/metrics").read().decode()
    for name in ("hocket_requests_total", "hocket_requests_running", "hocket_requests_waiting",
                 "hocket_prompt_tokens_total", "hocket_generated_tokens_total",
                 "hocket_time_to_first_token_seconds_bucket", "hocket_inter_token_seconds_bucket",
                 "hocket_request_seconds_bucket", "hocket_kv_blocks_used",
                 "hocket_max_kv_blocks", "hocket_step_seconds_bucket",
                 "hocket_step_batch_rows_bucket"):
        assert name in text, name
    assert urllib.request.urlopen(f"http://{server.metrics}/healthz").status == 200
    assert urllib.request.urlopen(f"http://{server.metrics}/readyz").status == 200


def test_score_of_the_command_line_equals_the_servers(stub):
    import subprocess
    from server_process import BINARY, TALES
    tokens = list(stub.Tokenize(hocket_pb2.TokenizeRequest(text="The bear slept.")).token_ids)
    precision = stub.GetModel(hocket_pb2.GetModelRequest()).model.precision
    output = subprocess.run(
        [BINARY, "score", "--model", TALES, "--precision", precision, "--tokens",
         ",".join(map(str, tokens)), "--format", "json"],
        check=True, capture_output=True, text=True).stdout
    printed = json.loads(output)
    served = stub.Score(hocket_pb2.ScoreRequest(tokens={"ids": tokens}))
    assert printed["tokens"] == tokens and printed["logprobs"][0] is None
    assert len(printed["top"]) == len(tokens)
    for ours, theirs in zip(printed["logprobs"][1:], served.scores[1:]):
        assert math.isclose(ours, theirs.logprob, rel_tol=1e-6, abs_tol=1e-6)
