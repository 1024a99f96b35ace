#!/usr/bin/env python3
"""The benchmark suite behind `./dev bench`: figures and ratios from one run, printed as tables.

    ./dev bench                       kv-cache, batching, prefill on SmolLM2-135M's shape
    ./dev bench batching --shape llama-3.2-1b --precision bf16
    ./dev bench kv-cache

    ./dev bench peers                 Hocket beside OpenVINO GenAI, and what is to be reached
    ./dev bench arrival               what streams feel when a long prompt arrives
    ./dev bench probe                 what this machine can do: memory reads, arithmetic, barriers
    ./dev bench quality               what a precision costs: divergence from f32, perplexity
    ./dev bench profile               where a step's time goes, by kind of work
    ./dev bench limits                how near steps come to memory's and arithmetic's limits
    ./dev bench settings              what settings cost the whole server
    ./dev bench sampling              what choosing a token costs, beside llama.cpp and transformers
    ./dev bench models                what a second model in the same server costs
    ./dev bench crowd                 500 streams for a minute, some badly behaved: right, or not

Each of these has flags of its own: ./dev bench peers --help.

Measure on a quiet machine. Random-weight models are made once, in the cache folder.
"""

import argparse
import importlib
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
sys.path.insert(0, str(HERE))

import server_process  # noqa: E402

import load  # noqa: E402
import machine_state  # noqa: E402
from bench_models import SHAPES, model_folder  # noqa: E402


def kv_cache(arguments):
    """Generating with the KV cache against recomputing the whole sequence at each token."""
    command = [server_process.BINARY, "bench", "kv-cache", "--model", server_process.TALES,
               "--new-tokens", "512", "--precision", arguments.precision, "--format", "json"]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"\n## KV cache: 512 tokens on the default model\n\n{json.dumps(result)}")
    return result


def batching(arguments):
    """Aggregate tokens per second by number of requests, all submitted at once."""
    folder, results = model_folder(arguments.shape), {}
    print(f"\n## Continuous batching: {arguments.shape}, {arguments.precision}, prompt 128, "
          "128 new tokens, greedy\n")
    print("| requests | tokens/s | against 1 | first token p50, ms | between tokens p50, ms "
          "| p95 | longest gap, ms | peak memory, MiB |\n|---|---|---|---|---|---|---|---|")
    for concurrency in arguments.requests:
        with server_process.ServerProcess("--precision", arguments.precision,
                                          model=folder) as server:
            shape = load.Load(target=server.target, concurrency=concurrency,
                              server_pid=server.pid)
            load.measure(load.Load(target=server.target, concurrency=concurrency, new_tokens=8))
            result = load.measure(shape)
        results[concurrency] = result
        base = results[min(results)]["tokens_per_second"]
        print(f"| {concurrency} | {result['tokens_per_second']:.1f} "
              f"| {result['tokens_per_second'] / base:.2f}× "
              f"| {1e3 * result['time_to_first_token']['p50']:.0f} "
              f"| {1e3 * result['inter_token']['p50']:.1f} "
              f"| {1e3 * result['inter_token']['p95']:.1f} "
              f"| {1e3 * result['longest_gap']:.0f} "
              f"| {result['server_peak_memory_mib']:.0f} |", flush=True)
    return results


def prefill(arguments):
    """Prompt tokens per second of one long prompt."""
    folder = model_folder(arguments.shape)
    with server_process.ServerProcess("--precision", arguments.precision, model=folder) as server:
        load.measure(load.Load(target=server.target, concurrency=1, prompt_tokens=2048,
                               new_tokens=1))
        result = load.measure(load.Load(target=server.target, concurrency=1, prompt_tokens=2048,
                                        new_tokens=1, seed=2))
    seconds = result["time_to_first_token"]["p50"]
    print(f"\n## Prefill of 2,048 tokens: {arguments.shape}, {arguments.precision}\n\n"
          f"{2048 / seconds:.0f} tokens/s, first token after {seconds:.2f} s")
    return result


CASES = {"kv-cache": kv_cache, "batching": batching, "prefill": prefill}
# Modules beside this one, each with a main of its own.
TOOLS = {"peers": "peers", "arrival": "arrival", "settings": "settings_cost",
         "sampling": "sampling", "probe": "probe", "quality": "quality",
         "profile": "step_profile", "limits": "limits", "models": "two_models", "crowd": "crowd"}


def main():
    if len(sys.argv) > 1 and sys.argv[1] in TOOLS:
        importlib.import_module(TOOLS[sys.argv[1]]).main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", choices=[[], *CASES], help="default: all")
    parser.add_argument("--shape", default="smollm2-135m", choices=SHAPES)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--requests", type=lambda text: [int(n) for n in text.split(",")],
                        default=[1, 4, 8, 16, 32], metavar="1,4,…")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    arguments = parser.parse_args()
    print(machine_state.headline())
    results = {name: CASES[name](arguments) for name in arguments.case or CASES}
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
