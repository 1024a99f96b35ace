#!/usr/bin/env python3
"""What a request's settings cost the whole server, in one run: `./dev bench settings`.

    ./dev bench settings                                S, int8, 32 requests
    ./dev bench settings --requests 8 --repeats 5 --precision int4

Requests of 128 random prompt tokens and 128 new tokens, all submitted at once, taking turns: greedy;
a chain of penalties over 64 tokens, top-k 50, top-p 0.95, min-p 0.05, temperature 0.8; greedy under
a JSON schema that never completes. Then prompt lookup: one request at a time, the same with and
without it, on random text (drawn at temperature 1, so that nothing repeats) and on a text to copy:
the default model's own story twice, and the beginning of a third time. Figures are the best of the
repetitions; ratios are of figures of this run.
"""

import argparse
import dataclasses
import json
import re
import urllib.request

import bench_models
import load
import machine_state
import server_process

import grpc

from hocket.v1 import generation_pb2, hocket_pb2_grpc

CHAIN = {"temperature": 0.8, "top_k": 50, "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.1,
         "presence_penalty": 0.1, "frequency_penalty": 0.1, "penalty_window_tokens": 64}
SCHEMA = {"type": "array", "minItems": 1000, "items": {
    "type": "object", "additionalProperties": False, "required": ["name", "age"],
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}}
CHAIN_TO_REACH, SCHEMA_TO_REACH, STEPS_TO_REACH, RANDOM_TO_REACH = 0.98, 0.90, 2.0, 0.97
COPIED_TOKENS = 160


def counters(server):
    """Tokens generated, steps executed, tokens guessed and accepted so far."""
    url = f"http://{server.metrics}/metrics"
    with urllib.request.urlopen(url) as answer:
        text = answer.read().decode()

    def value(name):
        found = re.search(rf"^{name}{{[^}}]*}} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0
    return {"tokens": value("hocket_generated_tokens_total"),
            "steps": value("hocket_step_seconds_count"),
            "guessed": value("hocket_draft_tokens_total"),
            "accepted": value("hocket_accepted_draft_tokens_total")}


def measure(server, shape):
    before = counters(server)
    result = load.measure(shape)
    if result["failed"]:
        raise RuntimeError(f"{result['failed']} requests failed: {result['errors']}")
    return {"rate": result["tokens_per_second"],
            **{name: after - before[name] for name, after in counters(server).items()}}


def best_of(server, shapes, repeats):
    """The best result of each shape, taking turns; the first turn is a warm-up."""
    best = {}
    for repeat in range(repeats + 1):
        for name, shape in shapes.items():
            # The same prompts, and none of them found in the cache.
            salted = {**shape.fields, "scheduling": {"cache_salt": f"{name} {repeat}"}}
            result = measure(server, dataclasses.replace(shape, seed=shape.seed + repeat,
                                                         fields=salted))
            if repeat > 0 and result["rate"] > best.get(name, {"rate": 0})["rate"]:
                best[name] = result
    return best


def batch_costs(options):
    with server_process.ServerProcess("--precision", options.precision,
                                      model=bench_models.model_folder(options.shape)) as server:
        greedy = load.Load(target=server.target, concurrency=options.requests)
        return best_of(server, {
            "greedy": greedy,
            "chain": dataclasses.replace(greedy, fields={"sampling": CHAIN}),
            "schema": dataclasses.replace(
                greedy, fields={"constraint": {"json_schema": json.dumps(SCHEMA)}}),
        }, options.repeats)


def speculation(on):
    return {"speculation": {"prompt_lookup": on}}


def random_text(options):
    with server_process.ServerProcess("--precision", options.precision,
                                      model=bench_models.model_folder(options.shape)) as server:
        plain = load.Load(target=server.target, concurrency=1, new_tokens=256, temperature=1.0,
                          fields=speculation(False))
        return best_of(server, {
            "plain": plain, "guessed": dataclasses.replace(plain, fields=speculation(True))},
            options.repeats)


def copied_text(options):
    """On the default model, which has learnt to copy."""
    with server_process.ServerProcess("--precision", options.precision) as server:
        with grpc.insecure_channel(server.target) as channel:
            stub = hocket_pb2_grpc.HocketStub(channel)
            story = stub.Generate(generation_pb2.GenerateRequest(
                text="Once upon a time", sampling={"temperature": 0.0},
                stopping={"max_new_tokens": COPIED_TOKENS, "ignore_eos": True}))
        ids = list(story.choices[0].token_ids)
        prompt = ids + ids + ids[:COPIED_TOKENS // 4]
        plain = load.Load(target=server.target, concurrency=1, new_tokens=COPIED_TOKENS // 2,
                          prompt=prompt, fields=speculation(False))
        return best_of(server, {
            "plain": plain, "guessed": dataclasses.replace(plain, fields=speculation(True))},
            options.repeats)


def line(what, result, against, wanted, figure=None):
    ratio = (figure or result["rate"] / against["rate"])
    print(f"| {what} | {result['rate']:,.1f} | {against['rate']:,.1f} | {ratio:.3f}× | {wanted}× "
          f"| {'yes' if ratio >= wanted else '**no**'} |")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev bench settings", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="smollm2-135m", choices=bench_models.SHAPES)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    print(machine_state.headline(), flush=True)
    batch = batch_costs(options)
    random_result, copied = random_text(options), copied_text(options)
    print(f"\n## What settings cost: {options.shape}, {options.precision}, {options.requests} "
          "requests\n\n| | tokens/s | against | ratio | to reach | reached |\n|---|---|---|---|---|---|")
    line("penalties, top-k, top-p, min-p, temperature, against greedy", batch["chain"],
         batch["greedy"], CHAIN_TO_REACH)
    line("JSON schema, against greedy", batch["schema"], batch["greedy"], SCHEMA_TO_REACH)
    line("prompt lookup on random text, 1 request, against none", random_result["guessed"],
         random_result["plain"], RANDOM_TO_REACH)
    line("prompt lookup on a copied text, 1 request, against none", copied["guessed"],
         copied["plain"], 1.0)
    for name, result in (("random", random_result["guessed"]), ("copied", copied["guessed"])):
        print(f"\nOn {name} text {result['guessed']:.0f} tokens were guessed and "
              f"{result['accepted']:.0f} accepted; {result['tokens'] / result['steps']:.2f} tokens a "
              f"step" + (f" (to reach: {STEPS_TO_REACH})" if name == "copied" else ""))


if __name__ == "__main__":
    main()
