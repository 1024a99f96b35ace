"""What the machine is, and what else it did while something was measured."""

import datetime
import os
import pathlib
import platform
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def cpu_features():
    """Those of the CPU's instruction sets that kernels choose by."""
    known = ("avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16",
             "avx512_vbmi", "amx_int8", "amx_bf16")
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            flags = set(line.split(":", 1)[1].split())
            return [name for name in known if name in flags]
    return []


def describe():
    """The facts that a figure is worth nothing without."""
    return {"date": datetime.date.today().isoformat(), "cpu": cpu_name(),
            "cpu_features": cpu_features(), "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0]}


def headline():
    facts = describe()
    text = (f"{facts['date']}, {facts['cpu']} ({' '.join(facts['cpu_features'])}), "
            f"{facts['cores']} cores, load average at the start {facts['load_average']:.2f}")
    if facts["load_average"] > 0.5:
        text += "\nwarning: the machine is not quiet; the figures will not mean much"
    return text


def process_cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def cpu_seconds():
    """Seconds that all the machine's cores were busy, and that its host held them back."""
    first = pathlib.Path("/proc/stat").read_text().split("\n")[0].split()
    user, nice, system, _, _, irq, softirq, steal = (int(value) for value in first[1:9])
    return (user + nice + system + irq + softirq) / TICKS_PER_SECOND, steal / TICKS_PER_SECOND


class OtherWork:
    """Cores that processes other than `pids` and this one kept busy between enter and exit, as
    `other_cores`, and cores' worth that the host withheld, as `stolen_cores`."""

    def __init__(self, *pids):
        self.pids = pids
        self.other_cores = self.stolen_cores = 0.0

    def _own(self):
        return sum(process_cpu_seconds(pid) for pid in (*self.pids, os.getpid()))

    def __enter__(self):
        self.start, self.own = time.monotonic(), self._own()
        self.busy, self.stolen = cpu_seconds()
        return self

    def __exit__(self, *_):
        seconds = max(1e-3, time.monotonic() - self.start)
        busy, stolen = cpu_seconds()
        self.other_cores = max(0.0, busy - self.busy - (self._own() - self.own)) / seconds
        self.stolen_cores = max(0.0, stolen - self.stolen) / seconds
