"""The checks themselves: each finds the breach it is for, and lets a sound tree pass."""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def run(script, *arguments):
    ran = subprocess.run([sys.executable, HERE / script, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stdout + ran.stderr


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


SOUND = {
    "scheduler/block_pool.h": "#include <vector>\n",
    "scheduler/step.h": '#include "scheduler/block_pool.h"\n',
    "scheduler/engine.cc": '#include <thread>\n#include "scheduler/step.h"\nauto t = absl::Now();\n',
    "runtime/decoder.cc": '#include "scheduler/step.h"\n#include "runtime/decoder.h"\n',
    "runtime/decoder.h": "",
    "service/main.cc": '#include <grpcpp/grpcpp.h>\n#include "runtime/decoder.h"\n#include "scheduler/step.h"\n',
}


def test_arrows_let_a_sound_tree_pass(tmp_path):
    assert run("arrows.py", "arrows", "--root", tree(tmp_path, SOUND)) == (0, "")


def test_arrows_scheduler_must_not_include_runtime(tmp_path):
    tree(tmp_path, SOUND | {"scheduler/bad.cc": '#include "runtime/decoder.h"\n'})
    status, output = run("arrows.py", "arrows", "--root", tmp_path)
    assert status == 1 and "scheduler/bad.cc includes runtime/decoder.h" in output


def test_arrows_runtime_may_include_step_h_and_nothing_else_of_the_scheduler(tmp_path):
    tree(tmp_path, SOUND | {"runtime/bad.cc": '#include "scheduler/block_pool.h"\n'})
    status, output = run("arrows.py", "arrows", "--root", tmp_path)
    assert status == 1 and "runtime may include scheduler/step.h" in output


def test_arrows_are_followed_through_headers(tmp_path):
    tree(tmp_path, SOUND | {"runtime/decoder.h": '#include "runtime/deep.h"\n', "runtime/deep.h": '#include "service/main.h"\n'})
    status, output = run("arrows.py", "arrows", "--root", tmp_path)
    assert status == 1
    assert "runtime/decoder.cc includes service/main.h through runtime/decoder.h through runtime/deep.h" in output


def test_arrows_step_h_must_not_bring_grpc_into_the_runtime(tmp_path):
    tree(tmp_path, SOUND | {"scheduler/block_pool.h": "#include <grpcpp/grpcpp.h>\n"})
    status, output = run("arrows.py", "arrows", "--root", tmp_path)
    assert status == 1 and "scheduler/step.h includes grpcpp/grpcpp.h through scheduler/block_pool.h" in output


def test_arrows_runtime_must_not_link_protobuf(tmp_path):
    tree(tmp_path, SOUND | {"runtime/CMakeLists.txt": "target_link_libraries(hocket_runtime protobuf::libprotobuf)\n"})
    status, output = run("arrows.py", "arrows", "--root", tmp_path)
    assert status == 1 and "runtime/CMakeLists.txt:1" in output


def test_style_finds_long_files_long_functions_bad_names_and_impurity(tmp_path):
    tree(tmp_path, SOUND | {
        "runtime/long.cc": "int x;\n" * 501,
        "runtime/tall.cc": "int Tall() {\n" + "  F();\n" * 120 + "}\n",
        "service/string_util.h": "",
        "scheduler/clock.cc": "auto t = absl::Now();\n",
        "service/owner.cc": "auto* p = new Thing();\n",
    })
    status, output = run("arrows.py", "style", "--root", tmp_path)
    assert status == 1
    for name in ("runtime/long.cc: 501", "runtime/tall.cc:1: a function of 122", "service/string_util.h",
                 "scheduler/clock.cc:1", "service/owner.cc:1: raw new"):
        assert name in output
    assert len(output.splitlines()) == 5


def test_docs_find_dead_links_paths_and_flags(tmp_path):
    binary = tmp_path / "hocket"
    binary.write_text("#!/bin/sh\necho '--listen ADDRESS'\n")
    binary.chmod(0o755)
    tree(tmp_path, SOUND | {"README.md": (
        "[guide](docs/guide.md) and `scheduler/step.h`, `scheduler/gone.h`\n"
        "hocket serve --listen 127.0.0.1:0 \\\n  --loud\n")})
    status, output = run("docs.py", "--root", tmp_path, "--binary", binary)
    assert status == 1
    assert output.splitlines() == [
        "README.md:1: the link to docs/guide.md leads nowhere",
        "README.md:1: there is no scheduler/gone.h",
        "README.md:2: hocket serve has no --loud",
    ]
