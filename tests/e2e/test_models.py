"""Several models in one process: each answers as it does alone, and each is counted, drained and lost by itself."""

import json
import os
import re
import subprocess
import time
import urllib.request

import pytest

from generation import bits, fold, generate_request
from server_process import BINARY, REPOSITORY, TALES, ServerProcess

import grpc

from hocket.v1 import hocket_pb2, hocket_pb2_grpc

FIXTURES = REPOSITORY / "tests" / "fixtures" / "models"
QWEN_TOKENS = {"ids": [5, 17, 230, 44, 8, 91]}


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    """A tiny model of another family. Its fixture has no tokenizer, so it gets one of words t0, t1, ..."""
    folder = tmp_path_factory.mktemp("models") / "qwen"
    folder.mkdir()
    for source in (FIXTURES / "qwen2").iterdir():
        (folder / source.name).symlink_to(source)
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "unk_token": "t0", "vocab": {f"t{i}": i for i in range(288)}}}))
    return folder


@pytest.fixture(scope="module")
def both(qwen):
    with ServerProcess("--model", f"qwen={qwen},precision=f32,kv-cache-bytes=8MiB", model=f"tales={TALES}") as process:
        yield process


def requests():
    """For each model what its answers are compared by."""
    common = {"output": {"top_logprobs": 3}, "stopping": {"max_new_tokens": 40, "ignore_eos": True}}
    return {
        "tales": [generate_request(text=f"Once upon a time {i}", model="tales",
                                   sampling={"seed": i, "temperature": 0.9}, **common) for i in range(4)],
        "qwen": [generate_request(tokens=QWEN_TOKENS, model="qwen",
                                  sampling={"seed": i, "temperature": 0.9}, **common) for i in range(4)]}


def answers(target, wanted):
    """Each request's answer, all asked at once."""
    with grpc.insecure_channel(target) as channel:
        stub = hocket_pb2_grpc.HocketStub(channel)
        streams = [stub.StreamGenerate(request) for request in wanted]
        return [bits(fold(stream)) for stream in streams]


def test_each_answers_to_the_last_bit_as_alone(both, qwen):
    wanted = requests()
    together = answers(both.target, wanted["tales"] + wanted["qwen"])
    with ServerProcess("--model-name", "tales") as alone:
        assert answers(alone.target, wanted["tales"]) == together[:4]
    with ServerProcess("--precision", "f32", model=f"qwen={qwen}") as alone:
        assert answers(alone.target, wanted["qwen"]) == together[4:]
    assert len(set(together)) == 8


def test_a_requests_model_chooses_and_the_first_is_the_default(both):
    with grpc.insecure_channel(both.target) as channel:
        stub = hocket_pb2_grpc.HocketStub(channel)
        models = {model.name: model for model in stub.ListModels(hocket_pb2.ListModelsRequest()).models}
        assert list(models) == ["tales", "qwen"]
        assert models["qwen"].architecture == "Qwen2ForCausalLM" and models["qwen"].precision == "f32"
        assert models["qwen"].kv_cache_bytes <= 8 << 20 < models["tales"].kv_cache_bytes
        assert stub.GetModel(hocket_pb2.GetModelRequest()).model.name == "tales"
        with pytest.raises(grpc.RpcError) as refused:
            stub.Generate(generate_request(model="tails"))
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
        assert '"tales", "qwen"' in refused.value.details()


def test_the_metrics_tell_the_models_apart(both):
    before = generated(both)
    answers(both.target, [requests()["qwen"][0]])
    after = generated(both)
    assert after["qwen"] - before["qwen"] == 40 and after["tales"] == before["tales"]


def generated(server):
    page = urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10).read().decode()
    return {name: float(value) for name, value in
            re.findall(r'^hocket_generated_tokens_total\{model="(\w+)"\} (\S+)$', page, re.M)}


def test_threads_and_kv_memory_are_divided(both):
    log = "\n".join(both.log)
    threads = [int(count) for count in re.findall(r"model_loaded .* threads=(\d+)", log)]
    available = len(os.sched_getaffinity(0))
    assert len(threads) == 2 and all(count >= 1 for count in threads)
    assert sum(threads) <= max(available, 2)


def test_both_drain(qwen):
    """One stream of each model ends by itself, and the process with status 0."""
    with ServerProcess("--model", f"qwen={qwen}", model=f"tales={TALES}") as own:
        with grpc.insecure_channel(own.target) as channel:
            stub = hocket_pb2_grpc.HocketStub(channel)
            streams = [stub.StreamGenerate(generate_request(
                **prompt, model=model, stopping={"max_new_tokens": 200, "ignore_eos": True}))
                for model, prompt in (("tales", {"text": "Once"}), ("qwen", {"tokens": QWEN_TOKENS}))]
            firsts = [next(stream) for stream in streams]
            own.terminate()
            folded = [fold([first, *stream]) for first, stream in zip(firsts, streams)]
        assert own.wait(30) == 0
    assert [len(result.token_ids) for result in folded] == [200, 200]
    assert any("drain signal=" in line for line in own.log)
    assert any("stop requests_ended=0" in line for line in own.log)


def end_of(stream):
    try:
        for _ in stream:
            pass
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_a_kill_in_the_middle_ends_the_streams_of_both(qwen):
    """So many that not all have ended, however fast the machine."""
    with ServerProcess("--model", f"qwen={qwen}", "--max-running-sequences", "2", model=f"tales={TALES}") as own:
        with grpc.insecure_channel(own.target) as channel:
            stub = hocket_pb2_grpc.HocketStub(channel)
            streams = {model: [stub.StreamGenerate(generate_request(
                **prompt, model=model, stopping={"max_new_tokens": tokens, "ignore_eos": True})) for _ in range(40)]
                for model, prompt, tokens in (("tales", {"text": "Once"}, 900), ("qwen", {"tokens": QWEN_TOKENS}, 240))}
            while min(generated(own).values()) == 0:
                time.sleep(0.005)
            own.kill()
            for of_model in streams.values():
                assert grpc.StatusCode.UNAVAILABLE in {end_of(stream) for stream in of_model}


@pytest.mark.parametrize("flags, named", [
    (["--model", "a=x", "--model", "a=y"], 'two models are called "a"'),
    (["--model", "a=x", "--model", "y"], "NAME=y"),
    (["--model", "a=x,precision=f17"], "f17"),
    (["--model", f"a={TALES}", "--model", "b=/no/such/folder"], "/no/such/folder"),
    (["--model", f"a={TALES},kv-cache-bytes=900TB"], "--model a: kv_cache_bytes is 900000000000000, but only"),
])
def test_what_cannot_be_served_is_one_line(flags, named):
    done = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "off",
                           "--log-level", "error", *flags], capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2)
    assert named in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
