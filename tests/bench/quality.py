#!/usr/bin/env python3
"""What a precision costs: `./dev bench quality`.

    ./dev bench quality                        the default model's held-out text, random weights
    ./dev bench quality --cases tales --candidates bf16,int8,int4,int4-g128,int8/int8
    ./dev bench quality --cases smollm2-135m,llama-3.2-1b --positions 256
    ./dev bench quality --windows 20           a quick look: 20 of the 136 documents

Each candidate is a weight precision, and a KV precision after a slash where it is not the one that
comes with it. The model runs over the same tokens in f32 with f32 keys and values and in each
candidate; the table has, over all positions and the whole vocabulary, the mean and the 99th
percentile of the Kullback-Leibler divergence (nats), the share of positions with the same most
likely token, and the perplexity of the tokens that follow. The case tales is the default model on
models/tales/held_out.txt; the others are random weights of that shape (make_model.py) on random
tokens, which says how rounding spreads through real depths and widths, and nothing of language.

The figures are hocket_quality_tool's (quality_tool.cc); a busy machine does not change them.
"""

import argparse
import json
import pathlib

import bench_models
import built_tool
import machine_state
import server_process

CANDIDATES = "bf16,int8,int4,int4-g128,int8/int8,int4/int8"


def flags_of(case, options):
    if case == "tales":
        return ["--model", server_process.TALES,
                "--text-file", server_process.TALES / "held_out.txt",
                "--windows", options.windows]
    return ["--model", bench_models.model_folder(case), "--random-tokens", options.positions + 1]


def print_table(results):
    first = results[0]
    print(f"\n{first['case']}: {first['positions']:,} positions, {first['windows']} windows, "
          f"perplexity in f32 {first['reference_perplexity']:.4f}, kernels of {first['cpu']}\n")
    print("| weights | keys and values | mean KL | 99th percentile | same most likely token "
          "| perplexity | against f32 |\n|---|---|---|---|---|---|---|")
    for result in results:
        change = result["perplexity"] / result["reference_perplexity"] - 1
        print(f"| {result['weights']} | {result['kv']} | {result['mean_kl']:.6f} "
              f"| {result['kl_p99']:.6f} | {100 * result['top1_agreement']:.2f} % "
              f"| {result['perplexity']:.4f} | {100 * change:+.3f} % |", flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev bench quality", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="tales,smollm2-135m", metavar="CASE,…",
                        help="tales, or shapes of " + ", ".join(bench_models.SHAPES))
    parser.add_argument("--candidates", default=CANDIDATES, metavar="WEIGHTS[/KV],…",
                        help=f"default: {CANDIDATES}")
    parser.add_argument("--positions", type=int, default=256, help="of random tokens")
    parser.add_argument("--windows", type=int, default=0, help="documents of the text (0: all)")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args(arguments)
    print(machine_state.headline().splitlines()[0], flush=True)
    every = []
    for case in options.cases.split(","):
        output = built_tool.run("hocket_quality_tool", *flags_of(case, options), "--threads",
                                options.threads, "--candidates", options.candidates,
                                "--format", "json")
        results = [{"case": case, **result} for result in json.loads(output)]
        print_table(results)
        every += results
    if options.json:
        options.json.write_text(json.dumps(every, indent=2) + "\n")


if __name__ == "__main__":
    main()
