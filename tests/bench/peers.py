#!/usr/bin/env python3
"""Hocket beside its peers, in one run, taking turns: `./dev bench peers`.

    ./dev bench peers                                   S, then L: all cases, all engines
    ./dev bench peers --shape smollm2-135m --cases decode-8 --repeats 2 \\
        --engines hocket:int8,openvino:int8,openvino:int8-tuned
    ./dev bench peers --table RUN.jsonl...              the tables of earlier runs again

Cases: decode-N is N requests, prompts of 128 random tokens and 128 new tokens each, all submitted
at once, greedy, end of text ignored; tokens per second are new tokens over the time from the
submission to the end of all. prefill is one prompt of 2,048 tokens and one new token; tokens per
second are the prompt's. memory is the peak resident memory of a fresh process (its second start, so
that what is cached on disk is there) that served decode-8. neighbour is decode-8 with another
process busy on one core (stress-ng where it is installed), beside decode-8 without.

Each engine serves a warm-up of 16 new tokens, then the engines take turns, --repeats times, with
new prompts each time; the table shows the best. Hocket is asked through gRPC, OpenVINO GenAI in
process. Every repetition is one line of --jsonl FILE, with the cores that other processes had
meanwhile.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import bench_models
import engines
import machine_state
import peers_table
from engines import Workload

REQUESTS = {"decode-1": 1, "decode-8": 8, "decode-32": 32, "memory": 8, "neighbour": 8}
CASES = ["decode-1", "decode-8", "decode-32", "prefill", "memory", "neighbour"]
ENGINES = ["hocket:int8", "hocket:int4", "openvino:int8", "openvino:int8-tuned", "openvino:int4"]


class Records:
    """What was measured: a list, and a file of one JSON object per line."""

    def __init__(self, path):
        self.all, self.file = [], path.open("a") if path else None

    def add(self, **record):
        self.all.append(record)
        if self.file:
            print(json.dumps(record), file=self.file, flush=True)

    def measured(self, shape, case, engine, repeat, result):
        self.add(kind="measurement", shape=shape, case=case, engine=engine, repeat=repeat, **result)
        print(f"{shape} {case} {engine} {repeat + 1}: {result['tokens_per_second']:.1f} tokens/s"
              f", others had {result['other_cores']:.2f} cores", file=sys.stderr, flush=True)


def workload_of(case, options):
    if case == "prefill":
        return Workload(requests=1, prompt_tokens=2048, new_tokens=1)
    return Workload(requests=REQUESTS[case], new_tokens=options.new_tokens)


def warm_up(engine, workload):
    engine.run(dataclasses.replace(workload, new_tokens=min(16, workload.new_tokens), seed=1000))


def in_turn(running, repeats):
    """Every engine, `repeats` times, beginning with another one each time."""
    names = list(running)
    for repeat in range(repeats):
        first = repeat % len(names)
        for name in names[first:] + names[:first]:
            yield repeat, name, running[name]


@contextlib.contextmanager
def busy_neighbour():
    """A process that keeps one core busy, wherever the system puts it."""
    command = (["stress-ng", "--cpu", "1", "--quiet"] if shutil.which("stress-ng") else
               [sys.executable, "-c", "while True: pass"])
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def measure_speed(running, shape, case, options, records):
    workload = workload_of(case, options)
    for engine in running.values():
        warm_up(engine, workload)
    for repeat, name, engine in in_turn(running, options.repeats):
        result = engines.measure(engine, dataclasses.replace(workload, seed=repeat + 1))
        records.measured(shape, case, name, repeat, result)


def measure_neighbour(running, shape, options, records):
    eight = workload_of("neighbour", options)
    for engine in running.values():
        warm_up(engine, eight)
    for repeat, name, engine in in_turn(running, options.repeats):
        workload = dataclasses.replace(eight, seed=repeat + 1)
        records.measured(shape, "quiet", name, repeat, engines.measure(engine, workload))
        with busy_neighbour():
            records.measured(shape, "neighbour", name, repeat, engines.measure(engine, workload))


def measure_memory(shape, options, records):
    for name in options.engines:
        engine = engines.make(name, shape, options)
        engine.start()
        engine.stop()
        engine.start()
        try:
            result = engines.measure(engine, workload_of("memory", options))
            records.measured(shape, "memory", name, 0, result)
        finally:
            engine.stop()


def measure_shape(shape, options, records):
    if "memory" in options.cases:
        measure_memory(shape, options, records)
    cases = [case for case in options.cases if case != "memory"]
    if not cases:
        return
    with contextlib.ExitStack() as stack:
        running = {}
        for name in options.engines:
            engine = engines.make(name, shape, options)
            engine.start()
            stack.callback(engine.stop)
            running[name] = engine
        for case in cases:
            if case == "neighbour":
                measure_neighbour(running, shape, options, records)
            else:
                measure_speed(running, shape, case, options, records)


def names(known=None):
    def parse(text):
        values = text.split(",")
        for value in values:
            if known and value not in known:
                raise argparse.ArgumentTypeError(f"{value} is none of {', '.join(known)}")
        return values
    return parse


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench peers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=names(bench_models.SHAPES), metavar="SHAPE,…",
                        default=["smollm2-135m", "llama-3.2-1b"], help="of " +
                        ", ".join(bench_models.SHAPES))
    parser.add_argument("--engines", type=names(), default=ENGINES, metavar="ENGINE,…",
                        help=f"default: {','.join(ENGINES)}; hocket takes any of its precisions")
    parser.add_argument("--cases", type=names(CASES), metavar="CASE,…",
                        help=f"of {', '.join(CASES)}; default: all, neighbour on the first "
                        "shape only")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--new-tokens", type=int, default=128,
                        help="of decode-N, memory and neighbour; other figures than with 128, "
                        "for a quick look")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--hocket-flag", action="append", default=[], metavar="FLAG",
                        help="another of hocket serve: --hocket-flag=--max-step-tokens=256")
    parser.add_argument("--openvino-property", action="append", default=[], metavar="NAME=VALUE",
                        help="a further property for OpenVINO, as KV_CACHE_PRECISION=f16")
    parser.add_argument("--openvino-batched-tokens", type=int, default=2048,
                        help="OpenVINO's max_num_batched_tokens")
    parser.add_argument("--jsonl", type=pathlib.Path, metavar="FILE", help="appends to it")
    parser.add_argument("--table", type=pathlib.Path, nargs="+", metavar="FILE",
                        help="measures nothing: the tables of these files of JSON lines")
    parser.add_argument("--prepare", action="store_true",
                        help="measures nothing: makes the models, the exports, the environment")
    return parser.parse_args(arguments)


def prepare(options):
    for shape in options.shape:
        for name in options.engines:
            engines.make(name, shape, options)


def main(arguments=None):
    options = parse_arguments(arguments)
    if options.table:
        lines = [line for path in options.table for line in path.read_text().splitlines()]
        print(peers_table.render([json.loads(line) for line in lines if line.strip()]))
        return
    prepare(options)
    if options.prepare:
        return
    print(machine_state.headline(), flush=True)
    records = Records(options.jsonl)
    settings = {name: str(value) if isinstance(value, pathlib.Path) else value
                for name, value in vars(options).items()}
    records.add(kind="run", **machine_state.describe(), settings=settings,
                peers=(bench_models.HERE / "peers-requirements.txt").read_text().split("\n")[1:-1])
    every_case, first = options.cases is None, options.shape[0]
    for shape in options.shape:
        if every_case:
            options.cases = [case for case in CASES if case != "neighbour" or shape == first]
        measure_shape(shape, options, records)
    print(peers_table.render(records.all))


if __name__ == "__main__":
    main()
