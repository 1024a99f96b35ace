"""Prints what every suite of a `./dev test` run counted and ends with the line "N passed, N failed".

Reads the results folder: ctest.xml (which suites ran), <suite>.xml of each (its cases), cargo.log, e2e.xml. A suite that
crashed, ran out of time or left no result counts as one failure. Exit status 0 only when nothing failed.
"""

import argparse
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    note: str = ""

    @property
    def ran(self):
        return self.passed + self.failed + self.skipped


def read_cases(path):
    """Counts the test cases of a JUnit or GoogleTest file; None when it cannot be read."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    counts = Counts()
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            counts.failed += 1
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            counts.skipped += 1
        else:
            counts.passed += 1
    return counts


def read_ctest(results):
    """One row per ctest test, by its own result file where it left one."""
    try:
        root = ElementTree.parse(results / "ctest.xml").getroot()
    except (OSError, ElementTree.ParseError):
        return {"ctest": Counts(failed=1, note="left no result")}
    rows = {}
    for case in root.iter("testcase"):
        name = case.get("name")
        ok = case.get("status") == "run"
        counts = read_cases(results / f"{name}.xml")
        if counts is None:
            counts = Counts(passed=int(ok), failed=int(not ok))
            if not ok:
                counts.note = "failed, crashed or ran out of time"
        elif not ok and counts.failed == 0:
            counts.failed, counts.note = 1, "its cases passed, and then it crashed or ran out of time"
        elif counts.ran == 0:
            counts.failed, counts.note = 1, "ran nothing"
        rows[name] = counts
    return rows or {"ctest": Counts(failed=1, note="ran nothing")}


def read_cargo(results):
    try:
        text = (results / "cargo.log").read_text(errors="replace")
    except OSError:
        text = ""
    counts = Counts()
    for line in re.finditer(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", text, re.M):
        counts.passed += int(line[1])
        counts.failed += int(line[2])
        counts.skipped += int(line[3])
    if counts.ran == 0:
        counts.failed, counts.note = 1, "did not build, crashed or ran nothing"
    elif counts.failed == 0 and re.search(r"^error", text, re.M):
        counts.failed, counts.note = 1, "cargo ended with an error"
    return counts


def read_e2e(results):
    counts = read_cases(results / "e2e.xml")
    if counts is None or counts.ran == 0:
        return Counts(failed=1, note="crashed, ran out of time or ran nothing")
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--ctest", action="store_true", help="expect ctest.xml")
    parser.add_argument("--cargo", action="store_true", help="expect cargo.log")
    parser.add_argument("--e2e", action="store_true", help="expect e2e.xml")
    arguments = parser.parse_args()

    rows = {}
    if arguments.ctest:
        rows.update(read_ctest(arguments.results))
    if arguments.cargo:
        rows["runtime/text/ffi (cargo)"] = read_cargo(arguments.results)
    if arguments.e2e:
        rows["tests/e2e (pytest)"] = read_e2e(arguments.results)

    width = max(map(len, rows), default=0)
    for name, row in rows.items():
        skipped = f", {row.skipped} skipped" if row.skipped else ""
        note = f"   <- {row.note}" if row.note else ""
        print(f"  {name:<{width}}  {row.passed:5} passed, {row.failed} failed{skipped}{note}")
    passed = sum(row.passed for row in rows.values())
    failed = sum(row.failed for row in rows.values())
    skipped = sum(row.skipped for row in rows.values())
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
