"""What a failed call says, read as a client's program would: the code, the reason and the details of google.rpc."""

import dataclasses
import threading

from server_process import ServerProcess  # noqa: F401  Puts the stubs on the path.

import grpc
from google.rpc import error_details_pb2, status_pb2


@dataclasses.dataclass
class Failure:
    """`reason` is empty where the status has no ErrorInfo: gRPC's own."""
    code: str
    message: str
    reason: str = ""
    metadata: dict = dataclasses.field(default_factory=dict)
    violations: list = dataclasses.field(default_factory=list)  # (field, description) of BadRequest.
    retry_ms: int = None
    quota: list = dataclasses.field(default_factory=list)  # (subject, description) of QuotaFailure.
    trailers: dict = dataclasses.field(default_factory=dict)


def failure_of(error):
    """Of a grpc.RpcError, having checked that its parts agree."""
    trailers = dict(error.trailing_metadata() or ())
    failure = Failure(code=error.code().name, message=error.details(), trailers=trailers)
    if "grpc-status-details-bin" not in trailers:
        return failure
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry, quota = error_details_pb2.RetryInfo(), error_details_pb2.QuotaFailure()
    for detail in status.details:
        assert any(detail.Unpack(known) for known in (info, bad, retry, quota)), detail.type_url
        if detail.Is(retry.DESCRIPTOR):
            failure.retry_ms = retry.retry_delay.ToMilliseconds()
    assert info.domain == "hocket"
    failure.reason, failure.metadata = info.reason, dict(info.metadata)
    failure.violations = [(one.field, one.description) for one in bad.field_violations]
    failure.quota = [(one.subject, one.description) for one in quota.violations]
    assert failure.retry_ms == (int(trailers["retry-after-ms"]) if "retry-after-ms" in trailers else None)
    return failure


def failure(call, *arguments, **named):
    """Calls; what comes must be a failure. Streams are read to their end."""
    try:
        answer = call(*arguments, **named)
        if isinstance(answer, grpc.Call) and hasattr(answer, "__next__"):
            for _ in answer:
                pass
    except grpc.RpcError as error:
        return failure_of(error)
    raise AssertionError(f"no failure, but {str(answer)[:200]}")


class Unsent:
    """The messages of a call that sends its headers and no more, until this is closed."""

    def __init__(self):
        self._closed = threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        self._closed.wait()
        raise StopIteration

    def close(self):
        self._closed.set()


STREAMS = ("StreamGenerate", "ListRequests")


def raw_call(channel, method, message):
    """A call with a message as it is, read to its end."""
    make = channel.unary_stream if method in STREAMS else channel.unary_unary
    answer = make(f"/hocket.v1.Hocket/{method}", request_serializer=bytes, response_deserializer=bytes)(message)
    return list(answer) if method in STREAMS else answer
