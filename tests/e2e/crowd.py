#!/usr/bin/env python3
"""Hundreds of streams at once, some of them cancelled, slow, wrong or cut off, and whether the server does right by all.

    crowd.py --streams 500 --seconds 60           (also: ./dev bench crowd)

Starts a server of its own on the default model, asks each of the distinct requests once while nothing else runs, and then
keeps `--streams` calls under way for so long. Of these 10 % are cancelled at random moments, 5 % read slowly, 5 % are bad
requests, 2 % lose their connection and come back; every other answer must be its reference, to the last bit. Meanwhile
health is watched; afterwards memory, threads and descriptors must be what they were. Prints a report, JSON with --json;
status 1 where something was not right.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import multiprocessing
import pathlib
import re
import sys
import threading
import time
import urllib.request

from crowd_clients import Share, digest_of, request_of, work
from generation import fold
from server_process import ServerProcess

import grpc

from hocket.v1 import hocket_pb2, hocket_pb2_grpc

RETAIN_S = 3  # How long the server keeps an ended request for clients that come back.


# Pools of gRPC's own, bounded by it, that grow and shrink as it likes.
GRPC_POOLS = ("default-executo", "resolver-execut", "grpc_global_tim", "event_engine", "timer_manager")
GRPC_ROOM = 4  # Threads.


@dataclasses.dataclass
class Resources:
    resident_mib: float
    threads: int  # But for gRPC's pools.
    grpc_threads: int
    descriptors: int


def resources_of(pid):
    process = pathlib.Path(f"/proc/{pid}")
    resident_kib = int(re.search(r"VmRSS:\s+(\d+) kB", (process / "status").read_text())[1])
    names = []
    for task in (process / "task").iterdir():
        with contextlib.suppress(OSError):  # It has just ended.
            names.append((task / "comm").read_text().strip())
    grpc_threads = sum(name in GRPC_POOLS for name in names)
    return Resources(resident_kib / 1024, len(names) - grpc_threads, grpc_threads, len(list((process / "fd").iterdir())))


class HealthWatch:
    """Watches gRPC's health service and asks the probes twice a second; keeps what was not right."""

    def __init__(self, server):
        self.wrong, self.asked, self.slowest_s = [], 0, 0.0
        self._server, self._stop = server, threading.Event()
        self._channel = grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)])
        self._threads = [threading.Thread(target=self._watch, daemon=True), threading.Thread(target=self._ask, daemon=True)]

    def _watch(self):
        watch = self._channel.unary_stream("/grpc.health.v1.Health/Watch", request_serializer=lambda b: b,
                                           response_deserializer=bytes)
        self._call = watch(b"")
        try:
            for status in self._call:
                if status != b"\x08\x01":
                    self.wrong.append(f"Watch says {status!r}")
        except grpc.RpcError as error:
            if not self._stop.is_set():
                self.wrong.append(f"Watch ended: {error.code().name}")

    def _ask(self):
        while not self._stop.wait(0.5):
            for path in ("/readyz", "/healthz"):
                began = time.monotonic()
                try:
                    urllib.request.urlopen(f"http://{self._server.metrics}{path}", timeout=10).read()
                except OSError as error:
                    self.wrong.append(f"{path}: {error}")
                self.asked += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._threads[1].join()
        self._call.cancel()
        self._threads[0].join()
        self._channel.close()


def references(target, distinct):
    """Each request's answer, alone."""
    with grpc.insecure_channel(target) as channel:
        stub = hocket_pb2_grpc.HocketStub(channel)
        answers = {number: fold(stub.StreamGenerate(request_of(number), timeout=60)) for number in range(distinct)}
    return {number: (digest_of(answer), answer.text) for number, answer in answers.items()}


def press(target, streams, seconds, workers, seed, known):
    """Keeps so many streams under way for so long; returns what the workers saw, together."""
    shares = [Share(target, number, streams // workers + (number < streams % workers), seconds, seed, known)
              for number in range(workers)]
    with concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(work, shares))
    counts = collections.Counter()
    for part in parts:
        counts.update(part["counts"])
    return {"counts": dict(sorted(counts.items())), "wrong": [line for part in parts for line in part["wrong"]],
            "wrong_count": sum(part["wrong_count"] for part in parts), "tokens": sum(part["tokens"] for part in parts),
            "first_s": sorted(second for part in parts for second in part["first_s"])}


def idle_resources(server, within_s=60, wanted=None):
    """Once nothing runs, waits or is kept; as soon as memory, threads and descriptors are as wanted, or in the end."""
    deadline = time.monotonic() + within_s
    time.sleep(RETAIN_S + 1)
    while True:
        now = resources_of(server.pid)
        if time.monotonic() > deadline or wanted is None or not leaks(wanted, now):
            return now
        time.sleep(1)


def leaks(before, after):
    """What is more than it was: memory by 5 %, our threads and descriptors by any."""
    found = []
    if after.resident_mib > 1.05 * before.resident_mib:
        found.append(f"memory {before.resident_mib:.1f} -> {after.resident_mib:.1f} MiB")
    if after.threads > before.threads:
        found.append(f"threads {before.threads} -> {after.threads}")
    if after.grpc_threads > before.grpc_threads + GRPC_ROOM:
        found.append(f"gRPC's threads {before.grpc_threads} -> {after.grpc_threads}")
    if after.descriptors > before.descriptors:
        found.append(f"descriptors {before.descriptors} -> {after.descriptors}")
    return found


def held(server):
    """What the server still holds once all have gone: requests and KV blocks that nobody wants."""
    page = urllib.request.urlopen(f"http://{server.metrics}/metrics").read().decode()
    gauges = re.findall(r"^(hocket_(?:requests_running|requests_waiting|kv_blocks_used))(?:{[^}]*})? (\S+)$", page, re.M)
    assert len({name for name, _ in gauges}) == 3, gauges
    found = [f"{name} {value}" for name, value in gauges if float(value)]
    with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        listed = list(hocket_pb2_grpc.HocketStub(channel).ListRequests(hocket_pb2.ListRequestsRequest(), timeout=10))
    return found + [f"{answer.total} requests are listed" for answer in listed if answer.total]


def measure(streams=500, seconds=60.0, distinct=200, workers=2, warm_up_s=None, seed=1, flags=()):
    """The whole of it; what was not right is in `problems`."""
    with ServerProcess("--retain-seconds", str(RETAIN_S), *flags) as server:
        known = references(server.target, distinct)
        press(server.target, streams, seconds / 4 if warm_up_s is None else warm_up_s, workers, seed + 1, known)
        before = idle_resources(server)
        began = time.monotonic()
        with HealthWatch(server) as health:
            seen = press(server.target, streams, seconds, workers, seed, known)
        took_s = time.monotonic() - began
        after = idle_resources(server, wanted=before)
        left = held(server)
        peak_mib = server.peak_memory_mib()
    problems = [f"health: {what}" for what in health.wrong] + [f"leaked: {what}" for what in leaks(before, after)]
    problems += [f"left behind: {what}" for what in left]
    if seen["wrong_count"]:
        problems.append(f"{seen['wrong_count']} calls went wrong, such as {seen['wrong'][:3]}")
    first = seen.pop("first_s")
    return {**seen, "problems": problems, "streams": streams, "took_s": took_s, "calls": sum(seen["counts"].values()),
            "tokens_per_s": seen["tokens"] / took_s, "first_token_s": {"p50": first[len(first) // 2], "max": first[-1]},
            "probes": health.asked, "slowest_probe_s": health.slowest_s, "peak_mib": peak_mib,
            "before": dataclasses.asdict(before), "after": dataclasses.asdict(after)}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--distinct", type=int, default=200, help="requests")
    parser.add_argument("--workers", type=int, default=2, help="processes that send")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    given = parser.parse_args(arguments)
    result = measure(given.streams, given.seconds, given.distinct, given.workers, seed=given.seed)
    print(f"{given.streams} streams for {given.seconds:.0f} s: {result['calls']} calls, {result['tokens_per_s']:.0f} tokens/s, "
          f"first token p50 {result['first_token_s']['p50']:.2f} s, max {result['first_token_s']['max']:.2f} s")
    for kind, count in result["counts"].items():
        print(f"  {count:7} {kind}")
    print(f"  {result['probes']} probes, the slowest {1e3 * result['slowest_probe_s']:.0f} ms; "
          f"{result['peak_mib']:.0f} MiB at the most")
    for name in ("before", "after"):
        print(f"  {name}: {result[name]['resident_mib']:.1f} MiB, {result[name]['threads']} + {result[name]['grpc_threads']} threads, "
              f"{result[name]['descriptors']} descriptors")
    for problem in result["problems"]:
        print(f"NOT RIGHT: {problem}")
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(1 if result["problems"] else 0)


if __name__ == "__main__":
    main()
