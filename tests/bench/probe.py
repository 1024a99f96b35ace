#!/usr/bin/env python3
"""What this machine can do at best: `./dev bench probe`, to set beside what Hocket does.

    ./dev bench probe [--threads N] [--megabytes 134,1200] [--repeats 5] [--format json]

Memory reads over buffers of these sizes (134 MB and 1.2 GB are the int8 weights of SmolLM2-135M and
Llama-3.2-1B), int8, bf16 and f32 arithmetic out of registers on every instruction set that the CPU
has, and the cost of a barrier, of an item of ForEach and of a parallel region. The figures are
hocket_machine_probe's (machine_probe.cc), each the best of --repeats.

Of the int8 figures, "avx2 maddubs+madd+add" overflows when both operands use their full range: it
is what 7-bit operands allow. "avx2 madd+add of int16" is exact for all.
"""

import json
import sys

import built_tool
import machine_state


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
    as_json = "json" in arguments or "--format=json" in arguments
    headline, facts = machine_state.headline(), machine_state.describe()
    output = built_tool.run("hocket_machine_probe", *arguments)
    if as_json:
        print(json.dumps({**facts, **json.loads(output)}))
    else:
        print(f"{headline}\n{output}", end="")


if __name__ == "__main__":
    main()
