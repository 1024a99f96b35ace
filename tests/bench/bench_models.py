"""The folders that benchmarks measure, made once in the cache: random-weight models of real shapes,
their exports for the peers, and the peers' own Python environment.

Nothing is fetched but packages from PyPI, at the versions of peers-requirements.txt.
"""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "hocket"
SHAPES = ("smollm2-135m", "qwen2.5-0.5b", "llama-3.2-1b")

# optimum-intel's own settings for each: int8 has one scale and zero point per output channel; int4
# has groups of 128 inputs, smaller where the inputs are no multiple (SmolLM2's 576 give 64), and
# keeps the tied embedding in int8.
OPENVINO_EXPORTS = {
    "int8": ["--weight-format", "int8"],
    "int4": ["--weight-format", "int4", "--group-size-fallback", "adjust"],
}


def say(text):
    print(text, file=sys.stderr, flush=True)


def model_folder(shape):
    """The random-weight model of this shape, made if it is not there."""
    folder = CACHE / "bench-models" / shape
    if not (folder / "complete").exists():
        say(f"making a random-weight model of the shape {shape} …")
        subprocess.run([sys.executable, HERE / "make_model.py", "--shape", shape, folder],
                       check=True, stdout=sys.stderr)
        (folder / "complete").touch()
    return folder


def peers_python():
    """The Python that has the peers' packages; made if it is not there, or has other versions."""
    folder, wanted = CACHE / "peers-venv", (HERE / "peers-requirements.txt").read_text()
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted:
        say(f"installing the peers in {folder} (several GiB, minutes) …")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet",
                        "--requirement", HERE / "peers-requirements.txt"],
                       check=True, stdout=sys.stderr)
        installed.write_text(wanted)
    return python


def openvino_folder(shape, weights):
    """The OpenVINO export of this shape with weights of `weights`, "int8" or "int4"."""
    source, folder = model_folder(shape), CACHE / "bench-models" / f"{shape}-openvino-{weights}"
    if not (folder / "complete").exists():
        python = peers_python()
        say(f"exporting {shape} to OpenVINO {weights} …")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python.parent / "optimum-cli", "export", "openvino", "--model", source,
                        "--task", "text-generation-with-past", *OPENVINO_EXPORTS[weights], folder],
                       check=True, stdout=sys.stderr,
                       env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
                            "PYTHONWARNINGS": "ignore"})
        (folder / "complete").touch()
    return folder
