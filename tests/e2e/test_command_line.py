"""The binary as a person runs it: output, errors in one line, exit status."""

import json
import os
import pty
import signal
import subprocess

import pytest

from server_process import BINARY, TALES


def hocket(*arguments, **options):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, **options)


def test_generate_streams_a_story_and_repeats_it_with_its_seed():
    flags = ["generate", "--prompt", "Once upon a time", "--seed", 5, "--temperature", 0.8,
             "--max-new-tokens", 60]
    first, second = hocket(*flags), hocket(*flags)
    assert first.returncode == 0 and first.stdout.strip()
    assert first.stdout == second.stdout
    assert "seed" in first.stderr


def test_generate_json_carries_what_is_needed_to_repeat_it():
    done = hocket("generate", "--prompt", "Once", "--max-new-tokens", 8, "--format", "json",
                  "--logprobs", 2)
    answer = json.loads(done.stdout)
    again = json.loads(hocket("generate", "--prompt", "Once", "--max-new-tokens", 8, "--format",
                              "json", "--seed", answer["seed"]).stdout)
    assert answer["tokens"] == again["tokens"] and answer["text"] == again["text"]
    assert answer["finish_reason"]


def test_score_prints_the_promised_shape():
    done = hocket("score", "--model", TALES, "--tokens", "5,6,7,8", "--format", "json")
    result = json.loads(done.stdout)
    assert result["tokens"] == [5, 6, 7, 8]
    assert result["logprobs"][0] is None and len(result["logprobs"]) == 4
    assert all(value <= 0 for value in result["logprobs"][1:])
    assert len(result["top"]) == 4 and set(result["top"][1][0]) >= {"id", "logprob"}


@pytest.mark.parametrize("precision", ["f32", "bf16", "int8", "int4", "int4-g128"])
def test_score_has_every_precision(precision):
    done = hocket("score", "--precision", precision, "--tokens", "5,6,7", "--format", "json")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("precision", ["f32", "bf16", "int8"])
def test_score_has_every_precision_of_keys_and_values(precision):
    done = hocket("score", "--kv-precision", precision, "--tokens", "5,6,7", "--format", "json")
    assert done.returncode == 0, done.stderr


def test_a_second_start_takes_its_weights_from_the_cache_and_gives_the_same_answer(tmp_path):
    flags = ["score", "--precision", "int8", "--weight-cache", tmp_path, "--tokens", "5,6,7,8",
             "--format", "json"]
    first = hocket(*flags)
    assert first.returncode == 0, first.stderr
    files = list(tmp_path.iterdir())
    assert [file.suffix for file in files] == [".hocket-weights"]
    before = files[0].stat()
    second = hocket(*flags)
    assert second.stdout == first.stdout
    assert files[0].stat().st_mtime_ns == before.st_mtime_ns  # Used, not made again.


def test_compare_shows_each_setting():
    done = hocket("compare", "--prompt", "Once upon a time", "--temperature", "0,0.7,1.3",
                  "--max-new-tokens", 30, env={**os.environ, "COLUMNS": "120"})
    assert done.returncode == 0, done.stderr
    assert all(value in done.stdout for value in ("0.7", "1.3"))
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_chat_answers_each_line_of_its_input():
    done = hocket("chat", "--temperature", 0, "--max-new-tokens", 60,
                  input="Tell me a story about a bear.\n/reset\nWho are you?\n")
    assert done.returncode == 0, done.stderr
    assert "bear" in done.stdout


def test_interrupt_stops_the_answer_and_not_the_chat():
    controller, terminal = pty.openpty()
    process = subprocess.Popen([BINARY, "chat", "--max-new-tokens", "900", "--ignore-eos"],
                               stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    os.close(terminal)
    os.write(controller, b"Tell me a story about a bear.\n")
    seen = b""
    while len(seen) < 40:
        chunk = os.read(process.stdout.fileno(), 4096)
        assert chunk, "the chat ended"
        seen += chunk
    process.send_signal(signal.SIGINT)
    os.write(controller, b"/exit\n")
    while chunk := os.read(process.stdout.fileno(), 65536):
        seen += chunk
    assert process.wait(30) == 0, seen
    os.close(controller)


@pytest.mark.parametrize("arguments, named", [
    (["generate", "--model", "/no/such/folder", "--prompt", "x"], "/no/such/folder"),
    (["generate", "--prompt", "x", "--temperature", "-1"], "temperature"),
    (["generate", "--prompt", "x", "--top-p", "2"], "top-p"),
    (["generate", "--prompt", "x", "--precision", "f17"], "f17"),
    (["generate", "--prompt", "x", "--kv-precision", "int4"], "int4"),
    (["score", "--tokens", "1,two"], "two"),
    (["score", "--tokens", "1,99999999"], "99999999"),
    (["serve", "--listen", "nonsense"], "nonsense"),
    (["generate", "--no-such-flag"], "--no-such-flag"),
    (["sing"], "sing"),
])
def test_errors_are_one_line_that_names_the_culprit(arguments, named):
    done = hocket(*arguments)
    assert done.returncode not in (0, -signal.SIGABRT, -signal.SIGSEGV)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert named in lines[-1] if lines else False, done.stderr
    assert len(lines) <= 2, done.stderr


def test_a_taken_port_is_an_error_that_names_it():
    import socket
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = "127.0.0.1:%d" % holder.getsockname()[1]
        done = hocket("serve", "--listen", address, "--metrics-listen", "127.0.0.1:0")
    assert done.returncode != 0 and address in done.stderr
