"""A suite that crashed must never count as one that passed."""

import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).resolve().parent / "test_counts.py"
TWO_PASSED = '<testsuites><testsuite><testcase name="a" status="run"/><testcase name="b" status="run"/></testsuite></testsuites>'
ONE_FAILED = '<testsuites><testsuite><testcase name="a" status="run"><failure/></testcase></testsuite></testsuites>'


def ctest(**suites):
    cases = "".join(f'<testcase name="{name}" status="{status}"/>' for name, status in suites.items())
    return f"<testsuite>{cases}</testsuite>"


def count(results, *flags, **files):
    for name, text in files.items():
        (results / name.replace("_DOT_", ".")).write_text(text)
    ran = subprocess.run([sys.executable, SCRIPT, results, *flags], capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stdout.splitlines()[-1]


def test_sums_over_suites(tmp_path):
    files = {"ctest.xml": ctest(block=("run"), arrows="run"), "block.xml": TWO_PASSED, "e2e.xml": TWO_PASSED,
             "cargo.log": "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\n"}
    assert count(tmp_path, "--ctest", "--cargo", "--e2e", **files) == (0, "8 passed, 0 failed, 1 skipped")


def test_a_failed_case_fails_the_run(tmp_path):
    files = {"ctest.xml": ctest(block="fail"), "block.xml": ONE_FAILED}
    assert count(tmp_path, "--ctest", **files) == (1, "0 passed, 1 failed")


def test_a_crash_without_a_result_is_a_failure(tmp_path):
    assert count(tmp_path, "--ctest", **{"ctest.xml": ctest(block="fail", arrows="run")}) == (1, "1 passed, 1 failed")


def test_a_crash_after_the_last_case_is_a_failure(tmp_path):
    files = {"ctest.xml": ctest(block="fail"), "block.xml": TWO_PASSED}
    assert count(tmp_path, "--ctest", **files) == (1, "2 passed, 1 failed")


def test_a_suite_that_ran_nothing_is_a_failure(tmp_path):
    files = {"ctest.xml": ctest(block="run"), "block.xml": "<testsuites/>"}
    assert count(tmp_path, "--ctest", **files) == (1, "0 passed, 1 failed")


def test_missing_suites_are_failures(tmp_path):
    assert count(tmp_path, "--ctest", "--cargo", "--e2e") == (1, "0 passed, 3 failed")


def test_a_cargo_build_error_is_a_failure(tmp_path):
    files = {"cargo.log": "test result: ok. 3 passed; 0 failed; 0 ignored;\nerror: could not compile\n"}
    assert count(tmp_path, "--cargo", **files) == (1, "3 passed, 1 failed")
