"""Holds the documentation to the tree: every link and path it names exists, and so does every flag.

    docs.py [--root DIR] [--binary build/hocket]

Reads README.md, docs/*.md, models/*/README.md. Flags on a line that runs `hocket COMMAND` or `./dev COMMAND` must be in
that command's --help; a flag alone in backticks must be in some command's help, in `./dev` or in a Python script of ours.
The table "Settings" of docs/operations.md must have every flag of `hocket serve`, and no other.
Without a built binary the flags are left alone. Prints one line per breach; status 1 when there is any.
"""

import argparse
import pathlib
import re
import subprocess
import sys

TOP_FOLDERS = ("proto", "scheduler", "runtime", "service", "tests", "deploy", "models", "docs", "scripts", "cmake", ".ci")
COMMANDS = ("serve", "generate", "chat", "score", "compare")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_SPAN = re.compile(r"`([^`\n]+)`")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
RUNS = re.compile(r"(?:^|[\s`/])(?:\./dev|hocket)\s+(" + "|".join(COMMANDS) + r")\b(.*)")


def documents(root):
    candidates = [root / "README.md", *sorted(root.glob("docs/*.md")), *sorted(root.glob("models/*/README.md"))]
    return [path for path in candidates if path.is_file()]


def logical_lines(text):
    """Lines with their numbers, with those that end in a backslash joined to the next."""
    held, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if held else number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        yield first, held + line
        held = ""
    if held:
        yield first, held


def check_paths(root, path, text):
    for number, line in enumerate(text.splitlines(), 1):
        for target in LINK.findall(line):
            if re.match(r"[a-z]+:|#", target):
                continue
            if not (path.parent / target.split("#")[0]).exists():
                yield f"{path.relative_to(root)}:{number}: the link to {target} leads nowhere"
        for span in CODE_SPAN.findall(line):
            word = span.split()[0] if span.split() else ""
            word = re.sub(r"(:\d+)+$", "", word).rstrip("/.,")
            if not re.fullmatch(r"[\w./-]+", word) or word.split("/")[0] not in TOP_FOLDERS or "/" not in word:
                continue
            if not (root / word).exists() and not (path.parent / word).exists():
                yield f"{path.relative_to(root)}:{number}: there is no {word}"


def helps(binary):
    texts = {}
    for command in COMMANDS:
        ran = subprocess.run([binary, command, "--help"], capture_output=True, text=True, timeout=60)
        texts[command] = set(FLAG.findall(ran.stdout + ran.stderr)) | {"--help"}
    ran = subprocess.run([binary, "--help"], capture_output=True, text=True, timeout=60)
    shared = set(FLAG.findall(ran.stdout + ran.stderr)) | {"--version"}
    return {command: flags | shared for command, flags in texts.items()}


def script_flags(root):
    flags = set()
    for path in [root / "dev", *root.glob("scripts/*"), *root.glob("tests/**/*.py"), *root.glob("models/**/*.py")]:
        if path.is_file():
            flags |= set(FLAG.findall(path.read_text(errors="replace")))
    return flags


def check_flags(root, path, text, by_command, anywhere):
    for number, line in logical_lines(text):
        where = f"{path.relative_to(root)}:{number}"
        run = RUNS.search(line)
        if run:
            arguments = re.split(r"\s(?:&&|\||;|#)\s|`", run[2])[0]
            for flag in FLAG.findall(arguments):
                if flag not in by_command[run[1]]:
                    yield f"{where}: hocket {run[1]} has no {flag}"
            continue
        for span in CODE_SPAN.findall(line):
            flag = FLAG.match(span)
            if flag and flag[0] not in anywhere:
                yield f"{where}: nothing has a flag {flag[0]}"


def settings_table(root):
    """The flags in the first column of the table below "## Settings"; --no-x counts as --x."""
    text = (root / "docs" / "operations.md").read_text()
    section = re.search(r"^## Settings\n(.*?)^## ", text, re.M | re.S)
    rows = re.findall(r"^\| (`--.*?) \|", section[1] if section else "", re.M)
    return {flag.replace("--no-", "--", 1) for row in rows for flag in FLAG.findall(row)}


def check_settings(root, binary):
    ran = subprocess.run([binary, "serve", "--help"], capture_output=True, text=True, timeout=60)
    flags = re.findall(r"^ +(?:-\w,)?(--[a-z][a-z0-9-]*)", ran.stdout, re.M)
    flags = {flag.replace("--no-", "--", 1) for flag in flags} - {"--help"}
    documented = settings_table(root)
    for flag in sorted(flags - documented):
        yield f"docs/operations.md: the table of settings lacks {flag}"
    for flag in sorted(documented - flags):
        yield f"docs/operations.md: the table of settings has {flag}, which hocket serve has not"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--binary", type=pathlib.Path)
    arguments = parser.parse_args()
    root = arguments.root
    by_command = None
    if arguments.binary and arguments.binary.is_file():
        by_command = helps(arguments.binary)
        anywhere = set().union(*by_command.values()) | script_flags(root)
    problems = []
    for path in documents(root):
        text = path.read_text(errors="replace")
        problems += check_paths(root, path, text)
        if by_command:
            problems += check_flags(root, path, text, by_command, anywhere)
    if by_command and (root / "docs" / "operations.md").is_file():
        problems += check_settings(root, arguments.binary)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
