"""Keeps the shape of the house: which folder may include which, and how large and how named a file may be.

    arrows.py arrows [--root DIR]    include arrows, followed through the project's own headers
    arrows.py style [--root DIR]     sizes, names and habits

Prints one line per breach and ends with status 1 when there is any.
"""

import argparse
import pathlib
import re
import sys

FOLDERS = ("proto", "scheduler", "runtime", "service")
CODE = (".h", ".cc")

# What a folder's files may name of another folder. service -> runtime is for building it and naming its parameters.
MAY_INCLUDE = {
    "scheduler": (),
    "runtime": ("scheduler/step.h",),
    "service": ("scheduler/", "runtime/", "proto/", "hocket/v1/"),
}
WIRE = re.compile(r"^(grpc|grpcpp|google/protobuf|prometheus|proto|hocket/v1)/|\.pb\.h$")
WIRE_TARGETS = re.compile(r"grpc|protobuf|prometheus|hocket_proto|hocket::proto", re.I)

FILE_LINES = 500
FUNCTION_LINES = 100
BAD_NAMES = re.compile(r"(^|_)(util|utils|utility|helper|helpers|manager|common|misc)(_|\.|$)")
HABITS = (
    (re.compile(r"\b(TODO|FIXME|XXX)\b"), "unfinished business: do it or open an issue"),
    (re.compile(r"\busing namespace\b"), "using namespace"),
)
# Owned at once: a private constructor needs `unique_ptr<T>(new T)`, a constant that is never destroyed `static const T*`, and
# cpp-httplib takes its thread pool by pointer.
RAW_NEW = re.compile(r"\bnew\s+[A-Za-z_:<>]+\s*[({\[;]")
OWNED_NEW = re.compile(r"unique_ptr<|WrapUnique\(|\bstatic\b|new_task_queue")
# The core of the scheduler is pure: the engine alone has a thread and looks at the clock.
IMPURE = re.compile(
    r"\babsl::Now\(|_clock::now\(|\bstd::random_device\b|\bstd::thread\b|\bgetenv\(|#include <(fstream|iostream|thread)>"
)
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.M)


def code_files(root, folders):
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in CODE and "target" not in path.parts and path.is_file():
                yield path


def includes_of(path, cache):
    if path not in cache:
        cache[path] = INCLUDE.findall(path.read_text(errors="replace"))
    return cache[path]


def breach(folder, include):
    """Says why a file of `folder` may not include `include`; None when it may."""
    if folder in ("scheduler", "runtime") and WIRE.search(include):
        return f"{folder} must not know of gRPC, Protobuf or Prometheus"
    target = include.split("/", 1)[0]
    if folder not in MAY_INCLUDE or target not in FOLDERS or target == folder:
        return None
    if any(include == allowed or (allowed.endswith("/") and include.startswith(allowed)) for allowed in MAY_INCLUDE[folder]):
        return None
    allowed = ", ".join(MAY_INCLUDE[folder]) or "nothing of another folder"
    return f"{folder} may include {allowed}"


def closure(root, start, cache):
    """Every include that `start` reaches, with the chain of project headers that leads there."""
    pending, seen = [(start, ())], {start}
    while pending:
        path, chain = pending.pop()
        for include in includes_of(path, cache):
            yield include, chain
            header = root / include
            if include.split("/", 1)[0] in FOLDERS and header.is_file() and header not in seen:
                seen.add(header)
                pending.append((header, chain + (include,)))


def check_arrows(root):
    cache, problems = {}, []
    # What the shared header itself needs of scheduler/ comes along with it.
    step_header = root / "scheduler/step.h"
    shared = {include for include, _ in closure(root, step_header, cache)} if step_header.is_file() else set()
    for path in code_files(root, ("scheduler", "runtime", "service")):
        folder = path.relative_to(root).parts[0]
        for include, chain in closure(root, path, cache):
            if chain and folder == "runtime" and include in shared:
                continue
            reason = breach(folder, include)
            if reason:
                through = "".join(f" through {name}" for name in chain)
                problems.append(f"{path.relative_to(root)} includes {include}{through}: {reason}")
    for folder in ("scheduler", "runtime"):
        for path in sorted((root / folder).rglob("CMakeLists.txt")):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if WIRE_TARGETS.search(line.split("#", 1)[0]):
                    problems.append(f"{path.relative_to(root)}:{number}: {folder} must not link {line.strip()}")
    return problems


def without_comments(line):
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    return line.split("//", 1)[0]


def long_functions(lines):
    """Google style puts a function's closing brace in the column of its first line: inside namespaces, column 0."""
    start = None
    for number, line in enumerate(lines, 1):
        if start is None and re.match(r"[A-Za-z_~].*[^;]$", line) and not re.match(
            r"(namespace|class|struct|enum|union|extern|template|public|private|protected|using|typedef|static const|constexpr|const|inline constexpr)\b",
            line,
        ):
            start = number
        elif start is not None and re.match(r"[});]", line):
            if number - start + 1 > FUNCTION_LINES and line.startswith("}"):
                yield start, number - start + 1
            start = None
        elif start is not None and line == "":
            # A declaration or a macro ended without a brace.
            if not any("{" in body for body in lines[start - 1 : number]):
                start = None


def check_style(root):
    problems = []
    for path in code_files(root, ("scheduler", "runtime", "service", "tests")):
        name = path.relative_to(root)
        lines = path.read_text(errors="replace").splitlines()
        if len(lines) > FILE_LINES:
            problems.append(f"{name}: {len(lines)} lines; split it (about 400, at most {FILE_LINES})")
        if BAD_NAMES.search(path.name):
            problems.append(f"{name}: name a file after its main noun")
        for start, length in long_functions(lines):
            problems.append(f"{name}:{start}: a function of {length} lines (aim for 70, at most {FUNCTION_LINES})")
        for number, line in enumerate(lines, 1):
            code = without_comments(line)
            for pattern, message in HABITS:
                if pattern.search(line if "TODO" in pattern.pattern else code):
                    problems.append(f"{name}:{number}: {message}")
            if RAW_NEW.search(code) and not OWNED_NEW.search((lines[number - 2] if number > 1 else "") + line):
                problems.append(f"{name}:{number}: raw new: use std::make_unique or a value")
            pure = name.parts[0] == "scheduler" and not path.name.startswith("engine")
            if pure and IMPURE.search(code):
                problems.append(f"{name}:{number}: scheduler/ is pure: no clock, no thread, no I/O outside the engine")
    for path in [root / "CMakeLists.txt", *sorted((root / "cmake").rglob("*.cmake")),
                 *(p for folder in FOLDERS for p in sorted((root / folder).rglob("CMakeLists.txt")))]:
        if path.is_file() and "-march=native" in path.read_text():
            problems.append(f"{path.relative_to(root)}: -march=native: the binary must run on any x86-64 or Arm machine")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", choices=("arrows", "style"))
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    arguments = parser.parse_args()
    check = check_arrows if arguments.check == "arrows" else check_style
    problems = check(arguments.root)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
