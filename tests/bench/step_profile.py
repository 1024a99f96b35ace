#!/usr/bin/env python3
"""Where a step's time goes: `./dev bench profile`.

    ./dev bench profile --shape smollm2-135m --precision int8
    ./dev bench profile --cases decode-8 --seconds 5 --symbols 15

Serves a random-weight model, loads it through gRPC and samples the server with perf (Debian's
linux-perf; the software clock, which virtual machines have too). decode-N looks at the steps from
the last request's first token to the first request's end, with contexts of 128 tokens and more;
prefill at prompts of 2,048 tokens until their first token. Each sample counts for the innermost
function of Hocket's own that the debug information names, inlined ones included:

    matmul      products, and making their inputs from rows       runtime/kernels, oneDNN
    attention   scores, softmax and sums; storing keys and values runtime/kernels/*attention*, kv_*
    norms       normalization, rotary embedding, residuals        runtime/kernels, runtime/model
    waiting     at a barrier or for the next parallel region      runtime/kernels/team.*, libgomp
    sampling    from logits to a token                            runtime/sampling
    text        detokenizing, stop strings                        runtime/text
    scheduling  planning, committing, KV blocks, the engine       scheduler
    service     requests and answers, gRPC                        service, gRPC's libraries
    system      the kernel and the C library on computing threads
    not busy    cores that the server left idle or did not get

The table has each one's share of the machine's time (all cores), and milliseconds a step (a prompt
for prefill). Below it: what reading the weights once takes at the speed of a plain read of as many
bytes, and what the multiplications take at the machine's peak, both from hocket_machine_probe now.
"""

import argparse
import asyncio
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import grpc

import bench_models
import built_tool
import load
import machine_state
import server_process
from hocket.v1 import hocket_pb2, hocket_pb2_grpc

GROUPS = ("matmul", "attention", "norms", "waiting", "sampling", "text", "scheduling", "service",
          "system")
# The first that matches the source file, from the innermost inlined function outwards. Files that
# all kernels share say nothing.
SHARED_FILES = re.compile(r"runtime/kernels/(simd-inl|bf16|aligned_buffer|simd_target)")
FILE_GROUPS = (
    (re.compile(r"runtime/kernels/team\."), "waiting"),
    (re.compile(r"runtime/kernels/(\w*attention|kv_)"), "attention"),
    (re.compile(r"runtime/kernels/(rms_norm|rotary|activation)"), "norms"),
    (re.compile(r"runtime/kernels/"), "matmul"),
    (re.compile(r"runtime/model/kv_"), "attention"),
    (re.compile(r"runtime/model/"), "norms"),
    (re.compile(r"runtime/sampling/"), "sampling"),
    (re.compile(r"runtime/text/|/\.cargo/|/rustc/"), "text"),
    (re.compile(r"runtime/|scheduler/"), "scheduling"),
    (re.compile(r"service/|proto/|hocket/v1/"), "service"),
)
OBJECT_GROUPS = (
    (re.compile(r"dnnl|//anon|\[unknown\]|memfd|jit"), "matmul"),
    (re.compile(r"libgomp"), "waiting"),
    (re.compile(r"grpc|libgpr|protobuf|absl|libupb|libcares|prometheus|spdlog|libssl|libcrypto"),
     "service"),
)
SAMPLES_PER_SECOND = 999
CASES = {"decode-1": 1, "decode-8": 8, "decode-32": 32, "prefill": 1}


class Profiler:
    """perf, recording one process, on the clock that Python's perf_counter shows."""

    def __init__(self, pid):
        if not shutil.which("perf"):
            sys.exit("profile: perf is not installed (Debian: apt-get install linux-perf)")
        self.file = tempfile.NamedTemporaryFile(prefix="hocket-perf-")
        self.pid = pid

    def __enter__(self):
        self.process = subprocess.Popen(
            ["perf", "record", "--event", "cpu-clock", "--freq", str(SAMPLES_PER_SECOND),
             "--clockid", "CLOCK_MONOTONIC", "--pid", str(self.pid), "--output", self.file.name,
             "--quiet"], stderr=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate()
        if self.process.returncode not in (0, -signal.SIGINT):
            sys.exit(f"profile: perf ended with {self.process.returncode}: {errors.decode()}")

    def samples(self):
        """(thread, time, address, symbol, object) of each sample."""
        text = subprocess.run(["perf", "script", "--input", self.file.name, "--fields",
                               "tid,time,ip,sym,dso"], check=True, capture_output=True,
                              text=True).stdout
        pattern = re.compile(r"^\s*(\d+)\s+([\d.]+):\s+([0-9a-f]+)\s+(.*) \((.*)\)$")
        for line in text.splitlines():
            found = pattern.match(line)
            if found:
                yield int(found[1]), float(found[2]), int(found[3], 16), found[4], found[5]


def frames_of(addresses, mappings):
    """Source files of each address in the binary, innermost inlined function first."""
    def file_address(address):
        for start, end, offset in mappings:
            if start <= address < end:
                return address - start + offset
        return None

    wanted = {address: file_address(address) for address in addresses}
    known = [address for address, place in wanted.items() if place is not None]
    output = subprocess.run(["addr2line", "--addresses", "--inlines", "--exe",
                             server_process.BINARY],
                            input="".join(f"{wanted[address]:#x}\n" for address in known),
                            check=True, capture_output=True, text=True).stdout
    frames, current = {}, None
    places = iter(known)
    for line in output.splitlines():
        if re.fullmatch(r"0x[0-9a-f]+", line):
            current = frames.setdefault(next(places), [])
        elif current is not None:
            current.append(line.rsplit(":", 1)[0].replace(str(server_process.REPOSITORY) + "/", ""))
    return frames


def group_of(symbol, shared_object, frames):
    for file in frames:
        if SHARED_FILES.search(file):
            continue
        for pattern, group in FILE_GROUPS:
            if pattern.search(file):
                return group
    for pattern, group in OBJECT_GROUPS:
        if pattern.search(shared_object):
            return group
    if re.search(r"tokenizers|minijinja|llguidance|core::|alloc::", symbol):
        return "text"
    return "system"


class Breakdown:
    """Seconds of CPU time by group and by symbol, in the given spans of time."""

    def __init__(self, samples, spans, mappings):
        binary = str(server_process.BINARY)
        inside = [sample for sample in samples
                  if any(start <= sample[1] < end for start, end in spans)]
        frames = frames_of({sample[2] for sample in inside if sample[4] == binary}, mappings)
        grouped = [(thread, symbol, group_of(symbol, where, frames.get(address, [])))
                   for thread, _, address, symbol, where in inside]
        computing = {thread for thread, _, group in grouped if group in ("matmul", "attention")}
        self.groups, self.symbols = collections.Counter(), collections.Counter()
        for thread, symbol, group in grouped:
            if group == "system" and thread not in computing:
                group = "service"
            self.groups[group] += 1 / SAMPLES_PER_SECOND
            name = symbol.replace("(anonymous namespace)::", "").split("(")[0]
            self.symbols[group, name[:80]] += 1 / SAMPLES_PER_SECOND


def mappings_of(pid):
    """Where the binary's code lies in the process: (start, end, offset in the file)."""
    mappings = []
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split()
        if len(fields) == 6 and fields[5] == str(server_process.BINARY) and "x" in fields[1]:
            start, end = (int(part, 16) for part in fields[0].split("-"))
            mappings.append((start, end, int(fields[2], 16)))
    return mappings


def get_model(target):
    with grpc.insecure_channel(target) as channel:
        return hocket_pb2_grpc.HocketStub(channel).GetModel(hocket_pb2.GetModelRequest()).model


def new_tokens_for(target, requests, seconds):
    """As many as take about so long, by a short trial (which is a warm-up as well)."""
    trial = load.measure(load.Load(target=target, concurrency=requests, new_tokens=24))
    step = max(1e-4, trial["inter_token"]["p50"])
    return max(32, min(2000, int(seconds / step)))


def decode_spans(lines):
    """The time in which all requests decode, and the steps in it."""
    start = max(line.arrivals[0][0] for line in lines)
    end = min(line.arrivals[-1][0] for line in lines)
    steps = sum(count for at, count in lines[0].arrivals if start < at <= end)
    return [(start, end)], max(1, steps)


def profile(server, case, options):
    requests, spans, count = CASES[case], [], 0
    if case == "prefill":
        loads = [load.Load(target=server.target, concurrency=1, prompt_tokens=2048, new_tokens=1,
                           seed=seed) for seed in range(options.prompts + 1)]
        load.measure(loads.pop())
    else:
        loads = [load.Load(target=server.target, concurrency=requests,
                           new_tokens=new_tokens_for(server.target, requests, options.seconds))]
    with Profiler(server.pid) as profiler:
        for one in loads:
            lines, _ = asyncio.run(load.run_load(one))
            errors = {line.error for line in lines if line.error}
            if errors:
                sys.exit(f"profile: {errors}")
            if case == "prefill":
                spans.append((lines[0].sent, lines[0].arrivals[0][0]))
                count += 1
            else:
                spans, count = decode_spans(lines)
    return Breakdown(profiler.samples(), spans, mappings_of(server.pid)), spans, count


def peak_operations(probe, precision):
    """Tera-operations per second on all threads, without what overflows with full-range bytes."""
    kind = "int8" if precision.startswith("int") else precision
    figures = [peak["tera_operations_per_second"] for peak in probe["arithmetic"]
               if peak["kind"] == kind and "maddubs" not in peak["instructions"]]
    return max(figures, default=0.0)


def limits_text(case, model, probe, milliseconds):
    """What memory and arithmetic alone would take, beside what was measured."""
    rows = 2048 if case == "prefill" else CASES[case]
    parameters = model.parameters
    if case == "prefill":  # The head computes one row only.
        parameters -= model.vocabulary_size * model.hidden_size
    read = max(figure["gigabytes_per_second"] for figure in probe["memory_reads"])
    reading = model.weight_bytes / read / 1e6
    text = (f"reading {model.weight_bytes / 1e6:,.0f} MB of weights at {read:.1f} GB/s: "
            f"{reading:.2f} ms ({100 * reading / milliseconds:.0f} % of the time)")
    peak = peak_operations(probe, model.precision)
    if peak:
        computing = 2 * parameters * rows / peak / 1e9
        text += (f"; {2 * parameters * rows / 1e9:,.1f} G operations at {peak:.3f} T/s: "
                 f"{computing:.2f} ms ({100 * computing / milliseconds:.0f} %)")
    return text


def print_case(case, breakdown, spans, count, symbols):
    wall = sum(end - start for start, end in spans)
    cores, milliseconds = os.cpu_count(), 1e3 * wall / count
    unit = "prompt" if case == "prefill" else "step"
    print(f"\n### {case}: {milliseconds:.2f} ms a {unit}, {count} of them\n")
    print(f"| | share | ms a {unit} |\n|---|---|---|")
    shares = {group: breakdown.groups[group] / wall / cores for group in GROUPS}
    shares["not busy"] = max(0.0, 1 - sum(shares.values()))
    for group, share in shares.items():
        print(f"| {group} | {100 * share:.1f} % | {share * milliseconds:.3f} |")
    for (group, symbol), seconds in breakdown.symbols.most_common(symbols):
        print(f"    {100 * seconds / wall / cores:5.1f} %  {group:<10}  {symbol}")
    return milliseconds, shares


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev bench profile", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="smollm2-135m", choices=bench_models.SHAPES)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--cases", default=",".join(CASES), metavar="CASE,…",
                        help="of " + ", ".join(CASES))
    parser.add_argument("--seconds", type=float, default=4.0, help="of decoding to look at")
    parser.add_argument("--prompts", type=int, default=3, help="prompts of the case prefill")
    parser.add_argument("--symbols", type=int, default=0, metavar="N",
                        help="also lists the N functions that take the most")
    parser.add_argument("--hocket-flag", action="append", default=[], metavar="FLAG")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args(arguments)
    print(machine_state.headline(), flush=True)
    results = {**machine_state.describe(), "cases": {}}
    with server_process.ServerProcess("--precision", options.precision, *options.hocket_flag,
                                      model=bench_models.model_folder(options.shape),
                                      start_timeout_s=600) as server:
        model = get_model(server.target)
        probe = json.loads(built_tool.run(
            "hocket_machine_probe", "--format", "json", "--megabytes",
            max(20, model.weight_bytes // 1000000)))
        print(f"{options.shape}, weights {model.precision}, keys and values {model.kv_precision}")
        for case in options.cases.split(","):
            breakdown, spans, count = profile(server, case, options)
            milliseconds, shares = print_case(case, breakdown, spans, count, options.symbols)
            print(f"\n{limits_text(case, model, probe, milliseconds)}", flush=True)
            results["cases"][case] = {"milliseconds": milliseconds, "count": count,
                                      "shares": shares}
    if options.json:
        options.json.write_text(json.dumps({**results, "probe": probe}, indent=2) + "\n")


if __name__ == "__main__":
    main()
