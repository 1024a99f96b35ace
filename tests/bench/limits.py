#!/usr/bin/env python3
"""How near a step comes to what the machine gives: `./dev bench limits`.

    ./dev bench limits [--shape smollm2-135m] [--precision int8] [--rounds 20] [--chunk 512]

Takes turns, a tenth of a second each, in one process: a plain read of as many bytes as the weights
have, a decode step of one sequence, int8 products out of registers, a prefill chunk. Medians of the
rounds, by hocket_limits_tool (limits_tool.cc).
"""

import argparse

import built_tool
import machine_state
from bench_models import SHAPES, model_folder


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev bench limits", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="smollm2-135m")
    known, rest = parser.parse_known_args(arguments)
    folder = model_folder(known.shape)
    print(machine_state.headline())
    print(built_tool.run("hocket_limits_tool", "--model", str(folder), *rest), end="")


if __name__ == "__main__":
    main()
