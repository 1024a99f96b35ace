#!/usr/bin/env python3
"""Asynchronous load generator: streams requests to a running server and says how it did.

    load.py --target 127.0.0.1:50051 --concurrency 8 --prompt-tokens 128 --new-tokens 128

Prompts are random token ids (seeded), so any model serves. The result is a table, and JSON with
--json FILE. Times are in seconds unless a name says otherwise.
"""

import argparse
import asyncio
import dataclasses
import json
import pathlib
import random
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import server_process  # noqa: E402,F401  Puts the generated stubs on the path.

import grpc  # noqa: E402

from hocket.v1 import generation_pb2, hocket_pb2, hocket_pb2_grpc  # noqa: E402


@dataclasses.dataclass
class Load:
    """What to send. `rate` is in requests per second, in Poisson arrivals; 0 keeps `concurrency`
    requests under way."""
    target: str
    concurrency: int = 8
    requests: int = 0  # 0: as many as `concurrency`, all at once.
    rate: float = 0.0
    prompt_tokens: int = 128
    new_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    fields: dict = dataclasses.field(default_factory=dict)  # Of each request, over all else.
    prompt: list = dataclasses.field(default_factory=list)  # Token ids, in place of random ones.
    seed: int = 1
    timeout_s: float = 3600.0
    server_pid: int = 0


@dataclasses.dataclass
class Line:
    """What one request saw: when it was sent, and when how many tokens came."""
    sent: float
    arrivals: list = dataclasses.field(default_factory=list)  # (time, tokens)
    error: str = ""


async def one_request(stub, load, vocabulary, random_state, line):
    prompt = load.prompt or [random_state.randrange(vocabulary) for _ in range(load.prompt_tokens)]
    request = generation_pb2.GenerateRequest(
        tokens={"ids": prompt},
        sampling={"temperature": load.temperature, "top_k": load.top_k, "top_p": load.top_p,
                  "seed": random_state.getrandbits(63)},
        stopping={"max_new_tokens": load.new_tokens, "ignore_eos": True})
    request.MergeFrom(generation_pb2.GenerateRequest(**load.fields))
    try:
        async for event in stub.StreamGenerate(request, timeout=load.timeout_s):
            if event.WhichOneof("event") == "delta" and event.delta.token_ids:
                line.arrivals.append((time.perf_counter(), len(event.delta.token_ids)))
    except grpc.aio.AioRpcError as error:
        line.error = f"{error.code().name}: {error.details()}"


async def run_load(load):
    """Runs the load; returns its lines and how long all took."""
    total = load.requests or load.concurrency
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(load.target, options=options) as channel:
        stub = hocket_pb2_grpc.HocketStub(channel)
        asked = hocket_pb2.GetModelRequest(model=load.fields.get("model", ""))
        model = (await stub.GetModel(asked, timeout=60)).model
        room = asyncio.Semaphore(load.concurrency if not load.rate else total)
        arrival = random.Random(load.seed)
        lines = []

        async def send(index):
            async with room:
                line = Line(sent=time.perf_counter())
                lines.append(line)
                await one_request(stub, load, model.vocabulary_size,
                                  random.Random(load.seed * 1_000_003 + index), line)

        start, tasks = time.perf_counter(), []
        for index in range(total):
            tasks.append(asyncio.create_task(send(index)))
            if load.rate:
                await asyncio.sleep(arrival.expovariate(load.rate))
        await asyncio.gather(*tasks)
        return lines, time.perf_counter() - start


def percentile(values, fraction):
    values = sorted(values)
    return values[min(len(values) - 1, int(fraction * len(values)))] if values else 0.0


def peak_memory_mib(pid):
    if not pid:
        return 0.0
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def summarize(load, lines, seconds):
    done = [line for line in lines if not line.error and line.arrivals]
    tokens = sum(count for line in done for _, count in line.arrivals)
    first = [line.arrivals[0][0] - line.sent for line in done]
    gaps = [later[0] - earlier[0] for line in done
            for earlier, later in zip(line.arrivals, line.arrivals[1:])]
    return {
        "load": dataclasses.asdict(load),
        "requests": len(lines),
        "failed": len(lines) - len(done),
        "errors": sorted({line.error for line in lines if line.error})[:5],
        "seconds": seconds,
        "new_tokens": tokens,
        "tokens_per_second": tokens / seconds,
        "prompt_tokens_per_second": len(done) * load.prompt_tokens / seconds,
        "time_to_first_token": {"p50": percentile(first, 0.5), "p95": percentile(first, 0.95),
                                "max": max(first, default=0.0)},
        "inter_token": {"p50": percentile(gaps, 0.5), "p95": percentile(gaps, 0.95),
                        "max": max(gaps, default=0.0)},
        "longest_gap": max(gaps, default=0.0),
        "server_peak_memory_mib": peak_memory_mib(load.server_pid),
    }


def print_table(result):
    first, between = result["time_to_first_token"], result["inter_token"]
    print(f"{'requests':>28}  {result['requests']} ({result['failed']} failed)")
    for error in result["errors"]:
        print(f"{'error':>28}  {error}")
    print(f"{'tokens per second':>28}  {result['tokens_per_second']:.1f}")
    print(f"{'time to first token, ms':>28}  p50 {1e3 * first['p50']:.1f}  "
          f"p95 {1e3 * first['p95']:.1f}  max {1e3 * first['max']:.1f}")
    print(f"{'inter-token latency, ms':>28}  p50 {1e3 * between['p50']:.1f}  "
          f"p95 {1e3 * between['p95']:.1f}  max {1e3 * between['max']:.1f}")
    print(f"{'longest gap, ms':>28}  {1e3 * result['longest_gap']:.1f}")
    if result["server_peak_memory_mib"]:
        print(f"{'server peak memory, MiB':>28}  {result['server_peak_memory_mib']:.0f}")


def measure(load):
    return summarize(load, *asyncio.run(run_load(load)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="127.0.0.1:50051", metavar="HOST:PORT")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--requests", type=int, default=0, help="default: as many as concurrent")
    parser.add_argument("--rate", type=float, default=0.0,
                        help="requests per second, Poisson; default: closed loop")
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-k", type=int, default=0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout-s", type=float, default=3600.0)
    parser.add_argument("--server-pid", type=int, default=0, help="reports its peak memory")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    arguments = vars(parser.parse_args())
    output = arguments.pop("json")
    try:
        result = measure(Load(**arguments))
    except grpc.aio.AioRpcError as error:
        sys.exit(f"load: {arguments['target']}: {error.code().name}: {error.details()}")
    print_table(result)
    if output:
        output.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(1 if result["failed"] else 0)


if __name__ == "__main__":
    main()
