"""The C++ tools beside this file: built when asked for, and run as `hocket` itself would run."""

import os
import subprocess
import sys

import server_process


def built(name):
    """The tool's path, brought up to date where the build can be."""
    build = server_process.BUILD
    if (build / "build.ninja").exists():
        subprocess.run(["ninja", "--quiet", "-C", build, name], check=True, stdout=sys.stderr)
    return build / "tests" / "bench" / name


def run(name, *arguments, capture=True):
    """Runs the tool and returns its standard output. The spin count is what `hocket` sets."""
    done = subprocess.run([str(part) for part in (built(name), *arguments)], check=True, text=True,
                          stdout=subprocess.PIPE if capture else None,
                          env={**os.environ, "GOMP_SPINCOUNT": "1000"})
    return done.stdout
