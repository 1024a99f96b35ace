"""The clients of crowd.py: what they ask, and how they behave. Each worker is a process with one event loop."""

import asyncio
import collections
import dataclasses
import hashlib
import random
import time

from generation import Folded, bits, generate_request

import grpc

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2, hocket_pb2_grpc

SHARES = {"good": 0.78, "cancelled": 0.10, "slow": 0.05, "bad": 0.05, "cut off": 0.02}
PROMPTS = ["Once upon a time", "The old bear", "A fox came down to the river to drink.", "“Who are you?” asked the",
           "Every morning the naïve 🦊", "Long ago, in a village by the sea,", "The king had three"]
CONNECTIONS = 8  # Of each worker.
HEAVY = 6  # Requests with answers long enough to fill a slow reader's window.


def request_of(index):
    """The request of this number, always the same."""
    draw = random.Random(index)
    fields = {"text": draw.choice(PROMPTS) + " " * (index % 2),
              "sampling": {"seed": index, "temperature": draw.choice([0.5, 0.8, 1.0, 1.3]), "top_p": draw.choice([0.9, 1.0])},
              "stopping": {"max_new_tokens": draw.randint(16, 64), "ignore_eos": draw.random() < 0.5}}
    if index < HEAVY:
        fields["stopping"] = {"max_new_tokens": 300, "ignore_eos": True}
        fields["output"] = {"top_logprobs": 20, "token_pieces": True}
    elif index % 5 == 0:
        fields["output"] = {"top_logprobs": draw.randint(0, 3), "logprobs": True}
    if index % 7 == 0:
        fields["stopping"]["stop_strings"] = [draw.choice([".", " and", "the "]), "never there"]
    if index % 11 == 0:
        fields["constraint"] = {"regex": "[a-z]{3,9}( [a-z]{3,9}){2,5}"}
    if index % 4 == 0:
        fields["speculation"] = {"prompt_lookup": True}
    return generate_request(**fields)


def bad_request(draw):
    """A request, and what its refusal must be and name."""
    fields, code, named = draw.choice([
        ({"sampling": {"temperature": -1.0}}, "INVALID_ARGUMENT", "sampling.temperature"),
        ({"stopping": {"stop_strings": [""]}}, "INVALID_ARGUMENT", "stopping.stop_strings"),
        ({"constraint": {"regex": "(a"}}, "INVALID_ARGUMENT", "constraint.regex"),
        ({"tokens": {"ids": [99999999]}}, "INVALID_ARGUMENT", "tokens"),
        ({"text": "word " * 3000}, "INVALID_ARGUMENT", "input"),
        ({"model": "no-such"}, "NOT_FOUND", "no-such"),
        ({"choices": {"n": 65}}, "INVALID_ARGUMENT", "choices.n"),
    ])
    return generate_request(**fields), code, named


def digest_of(answer):
    reason = answer.finished.finish_reason if answer.finished else None
    return hashlib.sha256(repr((bits(answer), reason)).encode()).hexdigest()


class Wire:
    """A way to the server that can be cut, as a network does: without a word to either side."""

    def __init__(self, target):
        self._host, self._port = target.split(":")
        self._transports = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return "127.0.0.1:%d" % self._server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_):
        self.cut()

    async def _accept(self, reader, writer):
        try:
            upstream_reader, upstream = await asyncio.open_connection(self._host, self._port)
            self._transports += [writer.transport, upstream.transport]
            await asyncio.gather(self._copy(reader, upstream), self._copy(upstream_reader, writer))
        except OSError:
            pass

    @staticmethod
    async def _copy(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    def cut(self):
        self._server.close()
        for transport in self._transports:
            transport.abort()


@dataclasses.dataclass
class Heard(Folded):
    choice_tokens: int = 0


@dataclasses.dataclass
class Share:
    """One worker's part."""
    target: str
    number: int
    streams: int
    seconds: float
    seed: int
    references: dict  # By number of the request: (digest, text).


class Worker:
    def __init__(self, share):
        self.share = share
        self.counts = collections.Counter()
        self.wrong = []
        self.first_s, self.tokens, self.stubs = [], 0, []

    async def run(self):
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(self.share.target, options) for _ in range(CONNECTIONS)]
        self.stubs = [hocket_pb2_grpc.HocketStub(channel) for channel in channels]
        self.end = time.monotonic() + self.share.seconds
        await asyncio.gather(*(self._client(index) for index in range(self.share.streams)))
        for channel in channels:
            await channel.close()
        return {"counts": dict(self.counts), "wrong": self.wrong[:20], "wrong_count": len(self.wrong),
                "first_s": self.first_s, "tokens": self.tokens}

    async def _client(self, index):
        draw = random.Random(f"{self.share.seed} {self.share.number} {index}")
        stub = self.stubs[index % CONNECTIONS]
        kinds = {"good": self._good, "cancelled": self._cancelled, "slow": self._slow, "bad": self._bad, "cut off": self._cut_off}
        await asyncio.sleep(draw.random() * min(1.0, self.share.seconds / 10))
        while time.monotonic() < self.end:
            kind = draw.choices(list(SHARES), SHARES.values())[0]
            number = draw.choice(list(self.share.references))
            try:
                outcome = await kinds[kind](stub, number, draw)
            except grpc.aio.AioRpcError as error:
                outcome = f"{error.code().name}: {error.details()[:200]}"
                self.wrong.append([kind, number, outcome])
                await asyncio.sleep(0.1)
            self.counts[f"{kind}: {outcome}"] += 1

    def _add(self, answer, event):
        kind = event.WhichOneof("event")
        if kind == "delta":
            answer.text += event.delta.text
            answer.token_ids.extend(event.delta.token_ids)
            answer.logprobs.extend(event.delta.logprobs)
            self.tokens += len(event.delta.token_ids)
            answer.choice_tokens = event.delta.choice_tokens
        elif kind in ("started", "finished"):
            setattr(answer, kind, getattr(event, kind))

    def _judge(self, kind, number, answer):
        if digest_of(answer) == self.share.references[number][0]:
            return "right"
        self.wrong.append([kind, number, f"another answer: {answer.text[:300]!r}"])
        return "wrong"

    async def _good(self, stub, number, _):
        answer, sent, first = Heard(), time.monotonic(), None
        async for event in stub.StreamGenerate(request_of(number), timeout=300):
            self._add(answer, event)
            if first is None and answer.token_ids:
                first = time.monotonic() - sent
        self.first_s.append(first or 0.0)
        return self._judge("good", number, answer)

    async def _cancelled(self, stub, number, draw):
        """By its id from another connection, or by leaving; what had come must be the beginning of the reference."""
        answer, by_id, left = Heard(), draw.random() < 0.5, draw.randint(0, 20)
        call = stub.StreamGenerate(request_of(number), timeout=300)
        try:
            async for event in call:
                self._add(answer, event)
                left -= 1
                if left >= 0 or not answer.started:
                    continue
                if not by_id:
                    call.cancel()
                    break
                other = self.stubs[draw.randrange(CONNECTIONS)]
                await other.Cancel(hocket_pb2.CancelRequest(request_id=answer.started.request_id), timeout=300)
                left = 1 << 30
        except asyncio.CancelledError:
            pass
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.CANCELLED:
                raise
        if answer.finished and answer.finished.finish_reason != pb.FINISH_REASON_CANCELLED:
            return self._judge("cancelled", number, answer)
        if self.share.references[number][1].startswith(answer.text):
            return "ended"
        self.wrong.append(["cancelled", number, f"no beginning of the answer: {answer.text[:300]!r}"])
        return "wrong"

    async def _slow(self, stub, number, draw):
        """Reads a long answer so slowly that the connection's window fills."""
        number = draw.randrange(HEAVY)
        answer = Heard()
        call = stub.StreamGenerate(request_of(number), timeout=300)
        slow_reads = 8
        async for event in call:
            self._add(answer, event)
            if slow_reads > 0 and answer.token_ids:
                slow_reads -= 1
                await asyncio.sleep(draw.uniform(0.1, 0.5))
        return self._judge("slow", number, answer)

    async def _bad(self, stub, number, draw):
        request, code, named = bad_request(draw)
        try:
            await stub.Generate(request, timeout=300)
        except grpc.aio.AioRpcError as error:
            if error.code().name == code and named in error.details():
                return "refused"
            raise
        self.wrong.append(["bad", number, f"{named} was accepted"])
        return "accepted"

    async def _cut_off(self, stub, number, draw):
        """Loses its connection without a word, and takes the stream up again over another."""
        request = request_of(number)
        request.request_id = f"cut-{self.share.seed}-{self.share.number}-{draw.getrandbits(60)}"
        answer, left, wire = Heard(), draw.randint(1, 12), Wire(self.share.target)
        async with wire as way, grpc.aio.insecure_channel(way, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            try:
                async for event in hocket_pb2_grpc.HocketStub(channel).StreamGenerate(request, timeout=300):
                    self._add(answer, event)
                    left -= 1
                    if left == 0:
                        wire.cut()
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
        if answer.finished:
            return self._judge("cut off", number, answer)
        request.resume.token_offsets.append(answer.choice_tokens)
        async for event in stub.StreamGenerate(request, timeout=300):
            self._add(answer, event)
        return self._judge("cut off", number, answer)


def work(share):
    return asyncio.run(Worker(share).run())
