#!/usr/bin/env python3
"""What a second model in the same server costs: its memory, and the speed of the first while the
second rests and while both are busy, with threads divided and with all threads for each.

    ./dev bench models
    ./dev bench models --second tales --requests 4 --repetitions 5

Servers take turns, each started anew; of each figure the best repetition counts, as the host's other
guests only ever slow one down. Both models get the same load at the same time, of random prompts.
"""

import argparse
import asyncio
import json
import os
import pathlib
import re
import time

import load
import machine_state
import server_process
from bench_models import SHAPES, model_folder

# What each server is, and how many of the threads each model has.
SERVERS = {"alone": None, "divided": lambda threads: max(1, threads // 2), "all for each": lambda threads: threads}
SETTLE_S = 3  # For the weights' move into large pages.


def folder_of(name):
    return server_process.TALES if name == "tales" else model_folder(name)


def start(kind, arguments, threads):
    common = ["--precision", arguments.precision, "--no-prefix-cache", "--kv-cache-bytes", "512MiB"]
    first, second = folder_of(arguments.first), folder_of(arguments.second)
    share = SERVERS[kind]
    if share is None:
        return server_process.ServerProcess(*common, model=f"a={first},threads={threads}")
    each = share(threads)
    return server_process.ServerProcess(*common, "--model", f"b={second},threads={each}",
                                        model=f"a={first},threads={each}")


def resident_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


def load_of(server, model, arguments, new_tokens):
    return load.Load(target=server.target, concurrency=arguments.requests, new_tokens=new_tokens,
                     fields={"model": model})


async def together(loads):
    """Tokens per second of each load, while all of them run."""
    results = await asyncio.gather(*(load.run_load(one) for one in loads))
    lines = [lines for lines, _ in results]
    failed = [line.error for of_one in lines for line in of_one if line.error]
    if failed:
        raise RuntimeError(failed[0])
    begin = min(line.sent for of_one in lines for line in of_one)
    end = min(max(line.arrivals[-1][0] for line in of_one) for of_one in lines)
    return [sum(count for line in of_one for at, count in line.arrivals if at <= end) / (end - begin)
            for of_one in lines]


def measure(kind, arguments, threads):
    with start(kind, arguments, threads) as server:
        models = ["a"] if kind == "alone" else ["a", "b"]
        time.sleep(SETTLE_S)
        idle_mib = resident_mib(server.pid)
        asyncio.run(together([load_of(server, model, arguments, 8) for model in models]))
        with machine_state.OtherWork(server.pid) as other:
            first, = asyncio.run(together([load_of(server, "a", arguments, arguments.new_tokens)]))
            both = asyncio.run(together([load_of(server, model, arguments, arguments.new_tokens)
                                         for model in models])) if len(models) > 1 else []
        return {"a_alone": first, "a": both[0] if both else 0, "b": both[1] if both else 0,
                "both": sum(both), "idle_mib": idle_mib, "peak_mib": server.peak_memory_mib(),
                "other_cores": other.other_cores + other.stolen_cores}


def best_of(repetitions):
    """The best of each speed, the least memory, and what the worst repetition was disturbed by."""
    best = {name: max(one[name] for one in repetitions) for name in ("a_alone", "other_cores")}
    best |= {name: min(one[name] for one in repetitions) for name in ("idle_mib", "peak_mib")}
    together_best = max(repetitions, key=lambda one: one["both"])
    return best | {name: together_best[name] for name in ("a", "b", "both")}


def row(kind, result, base):
    speeds = ("– | – | – | –" if not result["both"] else
              f"{result['a']:.1f} | {result['b']:.1f} | {result['both']:.1f} | {result['both'] / base:.2f}×")
    return (f"| {kind} | {result['a_alone']:.1f} | {result['a_alone'] / base:.2f}× | {speeds} "
            f"| {result['idle_mib']:.0f} | {result['peak_mib']:.0f} | {result['other_cores']:.2f} |")


def main(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench models", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", default="smollm2-135m", choices=(*SHAPES, "tales"))
    parser.add_argument("--second", default="smollm2-135m", choices=(*SHAPES, "tales"))
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--requests", type=int, default=8, help="of each model at a time")
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    arguments = parser.parse_args(arguments)
    threads = len(os.sched_getaffinity(0))
    print(machine_state.headline())
    runs = {kind: [] for kind in SERVERS}
    for _ in range(arguments.repetitions):
        for kind, results in runs.items():
            results.append(measure(kind, arguments, threads))
    best = {kind: best_of(results) for kind, results in runs.items()}
    print(f"\n## Two models: a is {arguments.first}, b {arguments.second}, {arguments.precision}, {threads} threads in "
          f"all, {arguments.requests} requests of each model, prompt 128, {arguments.new_tokens} new tokens, greedy\n")
    print("| threads | a, b resting, tokens/s | against alone | a, both busy | b | both | against alone "
          "| idle, MiB | peak, MiB | cores others took |\n|---|---|---|---|---|---|---|---|---|---|")
    for kind, result in best.items():
        print(row(kind, result, best["alone"]["a_alone"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(runs, indent=2) + "\n")
