#!/usr/bin/env python3
"""What choosing a token costs, beside llama.cpp and transformers: `./dev bench sampling`.

    ./dev bench sampling                              the four chains that have a target
    ./dev bench sampling --chains top-p,typical-p     others
    ./dev bench sampling --engines hocket             Hocket alone, without the peers' packages

One thread, --rows rows of logits from N(0, 2) over --vocabulary tokens, the same for all, taken in
turns; --rounds times each engine makes --calls calls of each chain. The table has the median and the
least of all calls, in microseconds of processor time per row.

Hocket is the sampling stage (hocket_sampling_tool), which reads the row of logits as the model left
it. llama.cpp is its C API through llama-cpp-python: filling the array of candidates, which
llama-server does for each token, and llama_sampler_apply. The fill is one copy of a prepared array,
the cheapest there is; its own share is shown, and the ratio with and without it. transformers are
generate's logits processors and torch's draw; they have no presence and frequency penalty.
"""

import argparse
import array
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

import bench_models
import built_tool
import machine_state

# By chain: its title, and how many times faster than llama.cpp the stage is to be.
CHAINS = {
    "greedy": ("greedy", 6),
    "temperature": ("temperature 0.8, draw", 12),
    "top-k": ("penalties over 64 tokens, top-k 50, top-p 0.95, min-p 0.05, temperature, draw", 8),
    "no-top-k": ("the same without top-k", 50),
    "top-p": ("temperature 0.8, top-p 0.95, draw", None),
    "typical-p": ("temperature 0.8, typical-p 0.95, draw", None),
    "top-n-sigma": ("temperature 0.8, top-n-sigma 1, draw", None),
    "xtc": ("temperature 0.8, XTC, draw", None),
    "logprobs": ("greedy with 20 log-probabilities", None),
}
ENGINES = ("hocket", "llama.cpp", "transformers")
FEWER_CALLS = 8  # transformers make so many fewer calls, for their milliseconds.


def write_logits(path, options):
    draw = random.Random(options.seed).gauss
    values = array.array("f", (draw(0, 2) for _ in range(options.rows * options.vocabulary)))
    path.write_bytes(values.tobytes())


class Hocket:
    def __init__(self, path, options):
        self.flags = ["--logits", path, "--vocabulary", options.vocabulary]

    def time(self, chain, calls):
        output = built_tool.run("hocket_sampling_tool", *self.flags, "--chain", chain,
                                "--calls", calls)
        return {"apply": json.loads(output), "fill": []}


class Peers:
    """The process of sampling_worker.py, which has both."""

    def __init__(self, path, options):
        command = [bench_models.peers_python(), bench_models.HERE / "sampling_worker.py", path,
                   options.vocabulary]
        self.process = subprocess.Popen([str(part) for part in command], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"sampling_worker.py ended with status {self.process.wait()}")
        return json.loads(line)

    def time(self, engine, chain, calls):
        wanted = {"engine": engine, "chain": chain, "calls": calls}
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)


def measure(path, options):
    """Microseconds by (chain, engine): every call's, and how much of it was the fill."""
    hocket, times = Hocket(path, options), {}
    peers = Peers(path, options) if set(options.engines) - {"hocket"} else None
    for turn in range(options.rounds):
        first = turn % len(options.engines)
        for chain in options.chains:
            for engine in options.engines[first:] + options.engines[:first]:
                if engine == "hocket":
                    result = hocket.time(chain, options.calls)
                else:
                    calls = options.calls // (FEWER_CALLS if engine == "transformers" else 1)
                    result = peers.time(engine, chain, max(calls, options.rows))
                if result is None:
                    continue
                apply, fill = times.setdefault((chain, engine), ([], []))
                apply += result["apply"]
                fill += result["fill"]
        print(f"round {turn + 1} of {options.rounds} done", file=sys.stderr, flush=True)
    if peers:
        peers.stop()
    return times


def figures(times, chain, engine):
    """Median and least, fill included, and the median fill; None where it was not measured."""
    if (chain, engine) not in times:
        return None
    apply, fill = times[chain, engine]
    whole = [a + f for a, f in zip(apply, fill)] if fill else apply
    return {"median": statistics.median(whole), "least": min(whole),
            "median_apply": statistics.median(apply), "least_apply": min(apply),
            "median_fill": statistics.median(fill) if fill else 0.0}


def cell(figure):
    return f"{figure['median']:,.1f} ({figure['least']:,.1f})" if figure else "–"


def table_row(chain, ours, llama, transformers):
    title, target = CHAINS[chain]
    ratio = llama["median"] / ours["median"] if llama else None
    bare = llama["median_apply"] / ours["median"] if llama else None
    return [title, cell(ours), cell(llama), f"{llama['median_fill']:.0f}" if llama else "–",
            cell(transformers), f"1/{ratio:.1f}" if ratio else "–",
            f"1/{bare:.1f}" if bare else "–", f"1/{target}" if target else "–",
            "–" if not (target and ratio) else "yes" if ratio >= target else "**no**"]


def print_table(times, options):
    heads = ["chain", "Hocket", "llama.cpp", "of that the fill", "transformers",
             "of llama.cpp's", "without its fill", "to reach", "reached"]
    print("\nMicroseconds per row: the median, and the least, of all calls.\n")
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    results = {}
    for chain in options.chains:
        by_engine = {engine: figures(times, chain, engine) for engine in ENGINES}
        results[chain] = by_engine
        if by_engine["hocket"]:
            print("| " + " | ".join(table_row(chain, *by_engine.values())) + " |")
    return results


def names_of(known):
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name}: none of {', '.join(known)}")
        return names
    return parse


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev bench sampling", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=names_of(CHAINS), metavar="CHAIN,…",
                        default=[name for name, (_, target) in CHAINS.items() if target],
                        help="of " + ", ".join(CHAINS))
    parser.add_argument("--engines", type=names_of(ENGINES), default=list(ENGINES),
                        metavar="ENGINE,…", help="of " + ", ".join(ENGINES))
    parser.add_argument("--vocabulary", type=int, default=128256)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--calls", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args(arguments)
    print(machine_state.headline(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "logits.f32"
        write_logits(path, options)
        results = print_table(measure(path, options), options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
