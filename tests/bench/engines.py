"""The engines that peers.py compares, each a process that serves workloads on demand.

An engine's name says what it is: "hocket:int8" is `hocket serve --precision int8`, asked through
gRPC; "openvino:int8" is OpenVINO GenAI in process over optimum-intel's int8 export, and
"openvino:int8-tuned" the same with the DYNAMIC_QUANTIZATION_GROUP_SIZE that serves this shape best.
"""

import dataclasses
import json
import subprocess

import bench_models
import load
import machine_state
import server_process

TUNED_GROUP_SIZE = {"smollm2-135m": 128, "qwen2.5-0.5b": 128, "llama-3.2-1b": 256}


@dataclasses.dataclass(frozen=True)
class Workload:
    """Requests of random token ids, all submitted at once; greedy, end of text ignored."""
    requests: int
    prompt_tokens: int = 128
    new_tokens: int = 128
    seed: int = 1


class Hocket:
    """Without a prefix cache, as OpenVINO is: repetitions and cases have prompts in common."""

    def __init__(self, shape, precision, options):
        self.flags = ["--precision", precision, "--threads", str(options.threads),
                      "--no-prefix-cache", *options.hocket_flag]
        self.model = bench_models.model_folder(shape)

    def start(self):
        self.server = server_process.ServerProcess(*self.flags, model=self.model,
                                                   start_timeout_s=600)
        self.pid = self.server.pid

    def run(self, workload):
        result = load.measure(load.Load(
            target=self.server.target, concurrency=workload.requests,
            prompt_tokens=workload.prompt_tokens, new_tokens=workload.new_tokens,
            seed=workload.seed))
        if result["failed"]:
            raise RuntimeError(f"{result['failed']} requests failed: {result['errors']}")
        return {"seconds": result["seconds"], "new_tokens": result["new_tokens"],
                "time_to_first_token": result["time_to_first_token"],
                "inter_token": result["inter_token"],
                "peak_memory_mib": self.server.peak_memory_mib()}

    def stop(self):
        self.server.__exit__()


class OpenVino:
    def __init__(self, shape, variant, options):
        weights, _, tuned = variant.partition("-")
        if weights not in bench_models.OPENVINO_EXPORTS or tuned not in ("", "tuned"):
            raise ValueError(f"openvino:{variant}: int8, int4, int8-tuned or int4-tuned")
        self.command = [
            bench_models.peers_python(), bench_models.HERE / "openvino_worker.py",
            bench_models.openvino_folder(shape, weights), "--threads", str(options.threads),
            "--batched-tokens", str(options.openvino_batched_tokens), "--cache-gib", "1"]
        properties = list(options.openvino_property)
        if tuned:
            properties.append(f"DYNAMIC_QUANTIZATION_GROUP_SIZE={TUNED_GROUP_SIZE[shape]}")
        for text in properties:
            self.command += ["--property", text]

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.command} ended with status {self.process.wait()}")
        return json.loads(line)

    def start(self):
        self.process = subprocess.Popen([str(part) for part in self.command], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid
        self._answer()

    def run(self, workload):
        self.process.stdin.write(json.dumps(dataclasses.asdict(workload)) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


KINDS = {"hocket": Hocket, "openvino": OpenVino}


def make(name, shape, options):
    kind, _, variant = name.partition(":")
    if kind not in KINDS or not variant:
        raise ValueError(f"{name}: no such engine; for example hocket:int8, openvino:int8-tuned")
    return KINDS[kind](shape, variant, options)


def measure(engine, workload):
    """Runs the workload once; the engine's result, its rate, and what else the machine did."""
    with machine_state.OtherWork(engine.pid) as other:
        result = engine.run(workload)
    expected = workload.requests * workload.new_tokens
    if result["new_tokens"] != expected:
        raise RuntimeError(f"{result['new_tokens']} new tokens came, not {expected}")
    counted = workload.prompt_tokens if workload.new_tokens == 1 else expected
    result.update(tokens_per_second=counted / result["seconds"],
                  other_cores=round(other.other_cores, 3),
                  stolen_cores=round(other.stolen_cores, 3))
    return result
