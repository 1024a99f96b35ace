"""A client whose streams survive lost connections and servers that die: it sends the same request again, with what it has.

This is all that it takes, and docs/api.md shows it; the tests that kill servers use it.
"""

import random
import time
import uuid

import server_process  # noqa: F401  Puts the generated stubs on the path.

import grpc

from hocket.v1 import generation_pb2 as pb
from hocket.v1 import hocket_pb2_grpc

# Tried again soon and for good: by default gRPC waits up to two minutes between attempts to connect. And a connection
# that has gone silent is found out.
CHANNEL = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000),
           ("grpc.keepalive_time_ms", 30000), ("grpc.use_local_subchannel_pool", 1)]


def surviving_stream(stub, request, limit_s=600):
    """Yields the stream's deltas and each choice's end, as if no connection had ever broken. Raises RpcError for what
    trying again does not mend, and when the answer is not there within `limit_s`."""
    sent = pb.GenerateRequest()
    sent.CopyFrom(request)
    # The name by which the server finds it again; and a seed, so that a server that has to compute it anew says the same.
    sent.request_id = sent.request_id or str(uuid.uuid4())
    if not sent.sampling.HasField("seed"):
        sent.sampling.seed = random.getrandbits(64)
    had = [0] * max(1, sent.choices.n)  # Tokens of each choice.
    end = time.monotonic() + limit_s
    while True:
        try:
            for event in stub.StreamGenerate(sent, wait_for_ready=True, timeout=end - time.monotonic()):
                if event.HasField("delta"):
                    had[event.delta.choice_index] = event.delta.choice_tokens
                    yield event
                elif event.HasField("finished") and event.finished.finish_reason != pb.FINISH_REASON_SHUTDOWN:
                    yield event  # Once more after a break, where a choice had ended before it.
            return
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(0.1)
            sent.resume.token_offsets[:] = had


def connect(target):
    channel = grpc.insecure_channel(target, CHANNEL)
    return channel, hocket_pb2_grpc.HocketStub(channel)
