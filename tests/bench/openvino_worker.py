#!/usr/bin/env python3
"""OpenVINO GenAI's continuous batching as one process that runs workloads on demand.

    openvino_worker.py MODEL_DIR --threads 2 --batched-tokens 512 [--property NAME=VALUE ...]

Started by peers.py with the Python of the peers' own environment. Reads one JSON object per line
from standard input, {"requests", "prompt_tokens", "new_tokens", "seed"}, serves that many requests
of random token ids, all submitted at once, greedy, end of text ignored, and answers with one JSON
line: seconds from the submission to the end of all, new tokens, peak memory. The first line says
that it is ready.
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

    def run(self, order):
        random = np.random.default_rng(order["seed"])
        prompts = [openvino.Tensor(random.integers(0, self.vocabulary,
                                                   (1, order["prompt_tokens"]), np.int64))
                   for _ in range(order["requests"])]
        config = generation(order["new_tokens"])
        start = time.perf_counter()
        handles = []
        for prompt in prompts:
            handles.append(self.pipeline.add_request(self.next_id, prompt, config))
            self.next_id += 1
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
        print(json.dumps(worker.run(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
