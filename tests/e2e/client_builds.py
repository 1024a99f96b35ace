"""Builds the clients in clients/ that are not Python, each once: what was built is kept in the cache folder
(${XDG_CACHE_HOME:-~/.cache}/hocket/clients) under a hash of all that it was made from. Nothing is written into the tree.

    client_builds.py            builds all, and says how each is run
"""

import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CLIENTS = REPOSITORY / "tests" / "e2e" / "clients"
PROTO = REPOSITORY / "proto"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "hocket" / "clients"
PROTO_FILES = ("hocket/v1/generation.proto", "hocket/v1/hocket.proto")
FETCH_LIMIT_S = 300
BUILD_LIMIT_S = 420
KEPT_DAYS = 30


class CannotBuild(Exception):
    """This machine lacks a tool, or what must be fetched cannot be; says which."""


def run(command, folder, limit_s, **environment):
    """Returns (status, what was said); a command that takes longer than its limit has failed."""
    try:
        ran = subprocess.run(list(map(str, command)), cwd=folder, timeout=limit_s, text=True, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **environment})
    except subprocess.TimeoutExpired:
        return 124, f"stopped after its limit of {limit_s} s"
    return ran.returncode, ran.stdout


def fetch(command, folder, **environment):
    """A step that only fetches: where it fails, this machine cannot build."""
    status, said = run(command, folder, FETCH_LIMIT_S, **environment)
    if status:
        raise CannotBuild(f"`{' '.join(map(str, command))}` fetched nothing: {said.strip()[-300:]}")


def build(command, folder, **environment):
    status, said = run(command, folder, BUILD_LIMIT_S, **environment)
    assert status == 0, f"`{' '.join(map(str, command))}` failed:\n{said[-3000:]}"


def tool(name, version_command, minimum):
    """The tool's version as text; it must be there and new enough."""
    path = shutil.which(name)
    if not path:
        raise CannotBuild(f"there is no {name} on this machine")
    _, said = run(version_command, "/", 60)
    found = re.search(r"(\d+)\.(\d+)", said)
    if not found or tuple(map(int, found.groups())) < minimum:
        wanted = ".".join(map(str, minimum))
        raise CannotBuild(f"{path} is older than {wanted}: {(said.strip() or '?').splitlines()[0]}")
    return said


def go_tools():
    return tool("go", ["go", "version"], (1, 19)) + tool("protoc", ["protoc", "--version"], (3, 12))


def build_go(folder):
    offline = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
    fetch(["go", "mod", "download"], folder, **offline)
    build(["go", "build", "-o", "bin/", "google.golang.org/protobuf/cmd/protoc-gen-go",
           "google.golang.org/grpc/cmd/protoc-gen-go-grpc"], folder, **offline)
    build(["protoc", "-I", PROTO, "--go_out=.", "--go_opt=module=hocket", "--go-grpc_out=.", "--go-grpc_opt=module=hocket",
           *PROTO_FILES], folder, PATH=f"{folder / 'bin'}:{os.environ['PATH']}")
    build(["go", "build", "-o", "smoke", "."], folder, **offline)


def node_tools():
    return tool("node", ["node", "--version"], (18, 0)) + tool("npm", ["npm", "--version"], (7, 0))


def build_node(folder):
    fetch(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)


def java_tools():
    return (tool("javac", ["javac", "-version"], (11, 0)) + tool("mvn", ["mvn", "-B", "--version"], (3, 6)) +
            tool("protoc", ["protoc", "--version"], (3, 21)))


def build_java(folder):
    command = ["mvn", "-B", "-q", "-ntp", f"-Dhocket.proto={PROTO}", f"-Dhocket.protoc={shutil.which('protoc')}", "package"]
    status, said = run(command, folder, BUILD_LIMIT_S)
    if status and (status == 124 or re.search(r"Could not (transfer|resolve|find) artifact|could not be resolved", said)):
        raise CannotBuild(f"Maven could not fetch what the client needs: {said.strip()[-300:]}")
    assert status == 0, f"Maven failed:\n{said[-3000:]}"


@dataclasses.dataclass
class Client:
    tools: callable
    build: callable
    command: callable  # Of its folder and the server's address.


LANGUAGES = {
    "go": Client(go_tools, build_go, lambda folder, target: [folder / "smoke", target]),
    "node": Client(node_tools, build_node, lambda folder, target: ["node", folder / "smoke.js", target, PROTO]),
    "java": Client(java_tools, build_java, lambda folder, target: ["java", "-jar", folder / "target" / "smoke.jar", target]),
}


def key_of(language, tools):
    """Of the client's sources, the contract, this file and the tools."""
    digest = hashlib.sha256(tools.encode())
    sources = sorted(path for path in (CLIENTS / language).rglob("*") if path.is_file())
    for path in [*sources, *(PROTO / name for name in PROTO_FILES), pathlib.Path(__file__)]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:20]


def forget_old():
    """What has not been used for long goes, so that the cache stays small."""
    for folder in CACHE.glob("*-*"):
        if time.time() - folder.stat().st_mtime > KEPT_DAYS * 86400:
            shutil.rmtree(folder, ignore_errors=True)


def built(language):
    """The folder of the built client, made now if need be. Raises CannotBuild, and AssertionError for a broken build."""
    client = LANGUAGES[language]
    folder = CACHE / f"{language}-{key_of(language, client.tools())}"
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        forget_old()
        with tempfile.TemporaryDirectory(prefix=".new-", dir=CACHE) as name:
            fresh = pathlib.Path(name) / "client"
            shutil.copytree(CLIENTS / language, fresh)
            client.build(fresh)
            try:
                fresh.rename(folder)
            except OSError:  # Another run was sooner.
                assert folder.is_dir()
    os.utime(folder)
    return folder


def command_of(language, target):
    return list(map(str, LANGUAGES[language].command(built(language), target)))


def main():
    status = 0
    for language in LANGUAGES:
        try:
            print(f"{language}:", *command_of(language, "HOST:PORT"))
        except (CannotBuild, AssertionError) as reason:
            print(f"{language}: {reason}")
            status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
