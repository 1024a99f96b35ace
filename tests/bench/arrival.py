#!/usr/bin/env python3
"""What decoding streams feel when a long prompt arrives: `./dev bench arrival`.

    ./dev bench arrival                         S: Hocket as it comes and without a latency target,
                                                OpenVINO GenAI with its default steps
    ./dev bench arrival --shape llama-3.2-1b --repeats 2
    ./dev bench arrival --engines hocket:int8 --hocket-flag=--target-inter-token-ms=100

Eight streams of 16 prompt tokens decode; when each has had 16 tokens, a prompt of 2,048 random
tokens arrives. The longest gap is the longest time that any stream waits for its next token between
half a second before the arrival and the newcomer's first token. Then, on Hocket alone, two prompts
that begin with the same 1,000 tokens: the time to each one's first token. Engines take turns; the
table shows medians. Hocket is asked through gRPC, OpenVINO GenAI in process. Engine names are those
of peers.py; hocket:int8-untargeted computes as much prompt in a step as it can.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import statistics
import time

import bench_models
import engines
import load
import machine_state

import grpc

from hocket.v1 import generation_pb2, hocket_pb2, hocket_pb2_grpc

GAP_TO_REACH, FIRST_TOKEN_TO_REACH, SHARED_PREFIX_TO_REACH = 0.3, 1.1, 10
PREFIX_TOKENS = 1000


@dataclasses.dataclass(frozen=True)
class Arrival:
    """Sent to openvino_worker.py too, which knows it by `newcomer_tokens`."""
    streams: int = 8
    stream_tokens: int = 16
    settle_tokens: int = 16
    newcomer_tokens: int = 2048
    seed: int = 1


def longest_gap(arrivals, begin, end):
    """The longest time between two tokens of one stream that overlaps [begin, end], in seconds."""
    return max((later - earlier for times in arrivals for earlier, later in zip(times, times[1:])
                if later > begin and earlier < end), default=0.0)


def request_for(tokens, new_tokens):
    return generation_pb2.GenerateRequest(
        tokens={"ids": tokens}, stopping={"max_new_tokens": new_tokens, "ignore_eos": True})


async def first_token_seconds(stub, tokens):
    sent = time.perf_counter()
    call = stub.StreamGenerate(request_for(tokens, 2))
    async for event in call:
        if event.WhichOneof("event") == "delta":
            seconds = time.perf_counter() - sent
            call.cancel()
            return seconds
    raise RuntimeError("no token came")


async def arrive(target, arrival):
    async with grpc.aio.insecure_channel(target) as channel:
        stub = hocket_pb2_grpc.HocketStub(channel)
        model = (await stub.GetModel(hocket_pb2.GetModelRequest(), timeout=60)).model
        dice = random.Random(arrival.seed)

        def tokens(count):
            return [dice.randrange(model.vocabulary_size) for _ in range(count)]

        arrivals = [[] for _ in range(arrival.streams)]
        settled = asyncio.Event()

        async def read(times, call):
            with contextlib.suppress(asyncio.CancelledError):
                async for event in call:
                    if event.WhichOneof("event") == "delta":
                        times.append(time.perf_counter())
                    if min(map(len, arrivals)) >= arrival.settle_tokens:
                        settled.set()

        calls = [stub.StreamGenerate(request_for(tokens(arrival.stream_tokens), 1500))
                 for _ in arrivals]
        readers = [asyncio.create_task(read(*pair)) for pair in zip(arrivals, calls)]
        await settled.wait()
        sent = time.perf_counter()
        first = await first_token_seconds(stub, tokens(arrival.newcomer_tokens))
        await asyncio.sleep(0.2)
        for call in calls:
            call.cancel()
        await asyncio.gather(*readers)
        return {"gap": longest_gap(arrivals, sent - 0.5, sent + first), "first_token": first}


async def share_prefix(target, seed):
    async with grpc.aio.insecure_channel(target) as channel:
        stub = hocket_pb2_grpc.HocketStub(channel)
        model = (await stub.GetModel(hocket_pb2.GetModelRequest(), timeout=60)).model
        dice = random.Random(seed)
        prefix = [dice.randrange(model.vocabulary_size) for _ in range(PREFIX_TOKENS)]
        seconds = [await first_token_seconds(stub, prefix + [tail] * 8) for tail in (1, 2)]
        return {"first": seconds[0], "second": seconds[1]}


def make(name, shape, options):
    if not name.startswith("hocket:"):
        return engines.make(name, shape, options)
    precision = name[len("hocket:"):]
    flags = ["--prefix-cache", *options.hocket_flag]
    if precision.endswith("-untargeted"):
        precision = precision[:-len("-untargeted")]
        flags += ["--target-inter-token-ms", "0"]
    return engines.Hocket(shape, precision,
                          argparse.Namespace(threads=options.threads, hocket_flag=flags))


def measure(name, engine, seed):
    arrival = Arrival(seed=seed)
    with machine_state.OtherWork(engine.pid) as other:
        if name.startswith("hocket:"):
            result = asyncio.run(arrive(engine.server.target, arrival))
        else:
            result = engine.run(arrival)
    return {**result, "others": other.other_cores}


def seconds_of(results, field):
    return statistics.median(result[field] for result in results)


def print_tables(shape, results, prefixes):
    peers = [name for name in results if name.startswith("openvino:")]
    print(f"\n## A 2,048-token prompt arrives while 8 streams decode: {shape}\n\n"
          "| engine | longest gap, ms | newcomer's first token, ms | gap against | to reach "
          "| first token against | to reach |\n|---|---|---|---|---|---|---|")
    for name, own in results.items():
        gap, first = seconds_of(own, "gap"), seconds_of(own, "first_token")
        cells = [name, f"{1e3 * gap:.0f}", f"{1e3 * first:.0f}"]
        if peers and name not in peers:
            peer = results[peers[0]]
            cells += [f"{gap / seconds_of(peer, 'gap'):.2f}×", f"{GAP_TO_REACH}×",
                      f"{first / seconds_of(peer, 'first_token'):.2f}×",
                      f"{FIRST_TOKEN_TO_REACH}×"]
        else:
            cells += ["–"] * 4
        print("| " + " | ".join(cells) + " |")
    for name, own in prefixes.items():
        first, second = seconds_of(own, "first"), seconds_of(own, "second")
        print(f"\n{name}: two prompts that share {PREFIX_TOKENS:,} tokens: first token after "
              f"{1e3 * first:.0f} and {1e3 * second:.0f} ms, {first / second:.1f}× "
              f"(to reach: {SHARED_PREFIX_TO_REACH}×)")
    others = max(result["others"] for own in results.values() for result in own)
    print(f"\nMeanwhile other processes had at most {others:.2f} cores.")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev bench arrival", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="smollm2-135m", choices=bench_models.SHAPES)
    parser.add_argument("--engines", type=lambda text: text.split(","), metavar="ENGINE,…",
                        default=["hocket:int8", "hocket:int8-untargeted", "openvino:int8"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--hocket-flag", action="append", default=[], metavar="FLAG")
    parser.add_argument("--openvino-property", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--openvino-batched-tokens", type=int, default=256,
                        help="of a step; its own default is 256")
    parser.add_argument("--jsonl", type=pathlib.Path, metavar="FILE", help="appends to it")
    options = parser.parse_args(arguments)
    print(machine_state.headline(), flush=True)
    results = {name: [] for name in options.engines}
    prefixes = {}
    with contextlib.ExitStack() as stack:
        running = {}
        for name in options.engines:
            running[name] = make(name, options.shape, options)
            running[name].start()
            stack.callback(running[name].stop)
        for name, engine in running.items():
            measure(name, engine, 1000)  # A warm-up.
        for repeat in range(options.repeats):
            for name, engine in running.items():
                results[name].append(measure(name, engine, repeat + 1))
                if name.startswith("hocket:"):
                    prefixes.setdefault(name, []).append(
                        asyncio.run(share_prefix(engine.server.target, repeat + 1)))
    if options.jsonl:
        with options.jsonl.open("a") as file:
            print(json.dumps({"shape": options.shape, "results": results, "prefixes": prefixes}),
                  file=file)
    print_tables(options.shape, results, prefixes)


if __name__ == "__main__":
    main()
