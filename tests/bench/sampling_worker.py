#!/usr/bin/env python3
"""Serves sampling.py: times llama.cpp's samplers and transformers' on one thread, chain by chain.

Runs in the peers' own Python. One JSON object per line in, {"engine", "chain", "calls"}, one out:
{"apply": [microseconds, ...], "fill": [...]} or null where the engine has no such chain. Both are
processor time of this thread. A call works on the next of the prepared rows.
"""

import ctypes
import json
import os
import sys
import time

import numpy as np

os.environ.setdefault("HF_HUB_OFFLINE", "1")
TEMPERATURE, TOP_K, TOP_P, MIN_P, TYPICAL_P = 0.8, 50, 0.95, 0.05, 0.95
REPETITION, PRESENCE, FREQUENCY, WINDOW = 1.1, 0.1, 0.1, 64


def last_tokens(vocabulary):
    return [i * 1999 % vocabulary for i in range(WINDOW)]


class LlamaCpp:
    """llama_sampler_apply of a chain on a llama_token_data_array. The array is filled anew for each
    call, as llama-server does for each token; here by one memory copy of a prepared array, the
    cheapest way there is, and timed apart."""

    def __init__(self, rows):
        from llama_cpp import llama_cpp
        self.api = llama_cpp
        self.prepared = []
        for row in rows:
            data = np.zeros(row.size, dtype=[("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])
            data["id"], data["logit"] = np.arange(row.size), row
            self.prepared.append(data)
        self.data = self.prepared[0].copy()
        self.chains = {name: self.chain(name) for name in
                       ("greedy", "temperature", "top-k", "no-top-k", "top-p", "typical-p")}

    def chain(self, name):
        api = self.api
        penalties = api.llama_sampler_init_penalties(self.data.size, WINDOW, REPETITION,
                                                     FREQUENCY, PRESENCE)
        draw = [api.llama_sampler_init_temp(TEMPERATURE), api.llama_sampler_init_dist(1)]
        top_p, min_p = api.llama_sampler_init_top_p(TOP_P, 1), api.llama_sampler_init_min_p(MIN_P, 1)
        parts = {
            "greedy": [api.llama_sampler_init_greedy()],
            "temperature": draw,
            "top-k": [penalties, api.llama_sampler_init_top_k(TOP_K), top_p, min_p, *draw],
            "no-top-k": [penalties, top_p, min_p, *draw],
            "top-p": [top_p, *draw],
            "typical-p": [api.llama_sampler_init_typical(TYPICAL_P, 1), *draw],
        }[name]
        chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
        for part in parts:
            api.llama_sampler_chain_add(chain, part)
        for token in last_tokens(self.data.size):
            api.llama_sampler_accept(chain, token)
        return chain

    def time(self, name, calls):
        api, chain, size = self.api, self.chains.get(name), self.data.size
        if chain is None:
            return None
        array = api.llama_token_data_array()
        array.data = ctypes.cast(self.data.ctypes.data, ctypes.POINTER(api.llama_token_data))
        pointer, target = ctypes.byref(array), self.data.ctypes.data
        sources = [data.ctypes.data for data in self.prepared]
        fill, apply = [], []
        for call in range(calls):
            begin = time.thread_time_ns()
            ctypes.memmove(target, sources[call % len(sources)], self.data.nbytes)
            array.size, array.selected, array.sorted = size, -1, False
            filled = time.thread_time_ns()
            api.llama_sampler_apply(chain, pointer)
            end = time.thread_time_ns()
            if not 0 <= array.selected < array.size:
                raise RuntimeError(f"llama.cpp's {name} selected nothing")
            fill.append((filled - begin) / 1e3)
            apply.append((end - filled) / 1e3)
        return {"apply": apply, "fill": fill}


class Transformers:
    """The logits processors of `generate`, in its order, on a row of torch's, and its draw."""

    def __init__(self, rows):
        import torch
        from transformers.generation import logits_process as parts
        torch.set_num_threads(1)
        self.torch, self.rows = torch, [torch.from_numpy(row)[None] for row in rows]
        self.tokens = torch.tensor([last_tokens(rows[0].size)])
        temperature = parts.TemperatureLogitsWarper(TEMPERATURE)
        penalty = parts.RepetitionPenaltyLogitsProcessor(REPETITION)
        top_p, min_p = parts.TopPLogitsWarper(TOP_P), parts.MinPLogitsWarper(MIN_P)
        self.chains = {
            "greedy": None,
            "temperature": [temperature],
            "top-k": [penalty, temperature, parts.TopKLogitsWarper(TOP_K), top_p, min_p],
            "no-top-k": [penalty, temperature, top_p, min_p],
            "top-p": [temperature, top_p],
            "typical-p": [temperature, parts.TypicalLogitsWarper(TYPICAL_P)],
        }

    def token(self, name, row):
        if self.chains[name] is None:
            return self.torch.argmax(row, dim=-1)
        for part in self.chains[name]:
            row = part(self.tokens, row)
        return self.torch.multinomial(self.torch.softmax(row, dim=-1), num_samples=1)

    def time(self, name, calls):
        if name not in self.chains:
            return None
        apply = []
        with self.torch.inference_mode():
            for call in range(calls):
                row = self.rows[call % len(self.rows)]
                begin = time.thread_time_ns()
                self.token(name, row)
                apply.append((time.thread_time_ns() - begin) / 1e3)
        return {"apply": apply, "fill": []}


def main():
    path, vocabulary = sys.argv[1], int(sys.argv[2])
    rows = np.fromfile(path, dtype="<f4").reshape(-1, vocabulary)
    engines = {"llama.cpp": LlamaCpp(rows), "transformers": Transformers(rows)}
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        print(json.dumps(engines[wanted["engine"]].time(wanted["chain"], wanted["calls"])),
              flush=True)


if __name__ == "__main__":
    main()
