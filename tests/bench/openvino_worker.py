#!/usr/bin/env python3
"""OpenVINO GenAI's continuous batching as one process that runs workloads on demand.

    openvino_worker.py MODEL_DIR --threads 2 --batched-tokens 512 [--property NAME=VALUE ...]

Started by peers.py with the Python of the peers' own environment. Reads one JSON object per line
from standard input, {"requests", "prompt_tokens", "new_tokens", "seed"}, serves that many requests
of random token ids, all submitted at once, greedy, end of text ignored, and answers with one JSON
line: seconds from the submission to the end of all, new tokens, peak memory. An object with
"newcomer_tokens" is an arrival, as arrival.py says. The first line says that it is ready.
"""

import argparse
import json
import os
import pathlib
import re
import sys
import time

import numpy as np
import openvino
import openvino_genai


def memory_mib(field):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) / 1024


def scheduler(arguments):
    config = openvino_genai.SchedulerConfig()
    config.max_num_batched_tokens = arguments.batched_tokens
    config.dynamic_split_fuse = True
    config.enable_prefix_caching = False  # Prompts are random: there is nothing to share.
    config.max_num_seqs = 256
    if arguments.cache_gib:
        config.cache_size = arguments.cache_gib
    return config


def generation(new_tokens):
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = new_tokens
    config.ignore_eos = True
    config.do_sample = False
    config.num_beams = 1
    return config


class Worker:
    def __init__(self, arguments):
        properties = {"INFERENCE_NUM_THREADS": arguments.threads}
        for text in arguments.property:
            name, value = text.split("=", 1)
            properties[name] = int(value) if value.isdigit() else value
        self.vocabulary = json.loads(
            (arguments.model / "config.json").read_text())["vocab_size"]
        self.pipeline = openvino_genai.ContinuousBatchingPipeline(
            str(arguments.model), scheduler(arguments), "CPU", properties)
        self.next_id = 0

    def prompt(self, random, tokens):
        return openvino.Tensor(random.integers(0, self.vocabulary, (1, tokens), np.int64))

    def add(self, prompt, config):
        self.next_id += 1
        return self.pipeline.add_request(self.next_id, prompt, config)

    def arrive(self, order):
        random = np.random.default_rng(order["seed"])
        streams = [self.add(self.prompt(random, order["stream_tokens"]), generation(1500))
                   for _ in range(order["streams"])]
        arrivals = [[] for _ in streams]

        def step():
            self.pipeline.step()
            now = time.perf_counter()
            for handle, times in zip(streams, arrivals):
                while handle.can_read():
                    handle.read()
                    times.append(now)
            return now

        while min(map(len, arrivals)) < order["settle_tokens"]:
            step()
        sent = time.perf_counter()
        newcomer = self.add(self.prompt(random, order["newcomer_tokens"]), generation(2))
        now = step()
        while not newcomer.can_read():
            now = step()
        gap = max(later - earlier for times in arrivals for earlier, later in zip(times, times[1:])
                  if later > sent - 0.5)
        for handle in streams:
            handle.cancel()
        while self.pipeline.has_non_finished_requests():
            self.pipeline.step()
        return {"gap": gap, "first_token": now - sent}

    def run(self, order):
        random = np.random.default_rng(order["seed"])
        prompts = [self.prompt(random, order["prompt_tokens"]) for _ in range(order["requests"])]
        config = generation(order["new_tokens"])
        start = time.perf_counter()
        handles = [self.add(prompt, config) for prompt in prompts]
        while self.pipeline.has_non_finished_requests():
            self.pipeline.step()
        seconds = time.perf_counter() - start
        new_tokens = sum(len(output.generated_ids) for handle in handles
                         for output in handle.read_all())
        return {"seconds": seconds, "new_tokens": new_tokens,
                "peak_memory_mib": memory_mib("VmHWM"), "memory_mib": memory_mib("VmRSS")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batched-tokens", type=int, default=512)
    parser.add_argument("--cache-gib", type=int, default=0, help="0: grows as needed")
    parser.add_argument("--property", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    # Whatever a library prints, from C++ too, goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(arguments)
    print(json.dumps({"ready": openvino.get_version()}), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        answer = worker.arrive(order) if "newcomer_tokens" in order else worker.run(order)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
