"""A `hocket serve` of one's own: starts the real binary on free ports and ends it by its pid.

Used by the end-to-end tests, the demo and the benchmarks.
"""

import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HOCKET_BUILD_DIR", REPOSITORY / "build"))
BINARY = BUILD / "hocket"
TALES = REPOSITORY / "models" / "tales"

sys.path.insert(0, str(BUILD / "python"))  # The stubs made from proto/.


class ServerProcess:
    """A running server. `target` and `metrics` are HOST:PORT; use it as a context manager."""

    def __init__(self, *flags, model=TALES, start_timeout_s=120, environment=None):
        command = [str(BINARY), "serve", "--model", str(model), "--listen", "127.0.0.1:0",
                   "--metrics-listen", "127.0.0.1:0", *flags]
        self.log = []
        self._lines = queue.Queue()
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **(environment or {})})
        threading.Thread(target=self._read, daemon=True).start()
        try:
            ports = self._await_ports(time.monotonic() + start_timeout_s)
        except BaseException:
            self.kill()
            raise
        self.target, self.metrics = ports["listening"], ports["metrics"]

    def _read(self):
        for line in self.process.stdout:
            self.log.append(line.rstrip("\n"))
            self._lines.put(line)
        self._lines.put(None)

    def _await_ports(self, deadline):
        ports = {}
        while len(ports) < 2:
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError("the server did not start in time:\n" + "\n".join(self.log))
            if line is None:
                raise RuntimeError("the server ended:\n" + "\n".join(self.log))
            found = re.match(r"(listening|metrics) on (\S+:\d+)$", line.strip())
            if found:
                ports[found[1]] = found[2]
        return ports

    @property
    def pid(self):
        return self.process.pid

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s=60):
        """Waits for the end; returns the exit status."""
        return self.process.wait(timeout_s)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def peak_memory_mib(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.terminate()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.kill()
