"""The load report in a call's trailers, endpoint-load-metrics-bin: an xds.data.orca.v3.OrcaLoadReport.

gRPC's C core, and so Python's client, keeps this trailer for its load balancer and shows it to nobody, so the call is made
over HTTP/2 itself. The message's field numbers are those of
https://github.com/cncf/xds/blob/main/xds/data/orca/v3/orca_load_report.proto: cpu_utilization = 1 and mem_utilization = 2
(double), request_cost = 4 and utilization = 5 (map<string, double>).
"""

import dataclasses
import struct
import time

from raw_http2 import DATA, HEADERS, PREFACE, SETTINGS, RawConnection, frame

NAME = b"endpoint-load-metrics-bin"
END_STREAM = 1
TRUE_BINARY = struct.pack(">HI", 0xfe03, 1)  # gRPC's own setting: binary values come as they are, after a zero byte.


@dataclasses.dataclass
class LoadReport:
    cpu_utilization: float = 0.0
    mem_utilization: float = 0.0
    request_cost: dict = dataclasses.field(default_factory=dict)
    utilization: dict = dataclasses.field(default_factory=dict)


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def fields(data):
    """Pairs of a field's number and its value: bytes, or a float of 8 bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 1:
            yield key >> 3, struct.unpack("<d", data[at:at + 8])[0]
            at += 8
        elif kind == 2:
            size, at = varint(data, at)
            yield key >> 3, data[at:at + size]
            at += size
        else:
            raise ValueError(f"field {key >> 3} has wire type {kind}")


def entry(data):
    """A map's entry; what is 0 may be left out of it."""
    parts = {1: b"", 2: 0.0, **dict(fields(data))}
    return parts[1].decode(), parts[2]


def parse(message):
    report = LoadReport()
    for number, value in fields(message):
        if number == 1:
            report.cpu_utilization = value
        elif number == 2:
            report.mem_utilization = value
        elif number == 4:
            name, cost = entry(value)
            report.request_cost[name] = cost
        elif number == 5:
            name, share = entry(value)
            report.utilization[name] = share
        else:
            raise ValueError(f"the report has a field {number}")
    return report


def value_in(trailers):
    """The header's value, from a block in which it stands as a literal: a length of 7 bits and more, then a zero byte."""
    at = trailers.index(NAME) + len(NAME)
    assert not trailers[at] & 0x80, "the value is Huffman-coded"
    size = trailers[at] & 0x7f
    at += 1
    if size == 0x7f:
        more, at = varint(trailers, at)
        size += more
    value = trailers[at:at + size]
    assert value[0] == 0
    return value[1:]


def call(target, method, request):
    """Makes a call; its messages, serialized, and the report that it ends with."""
    body = request.SerializeToString()
    received = b""
    with RawConnection(target) as connection:
        connection.send(PREFACE, frame(SETTINGS, TRUE_BINARY), frame(SETTINGS, flags=1))
        connection.call(1, f"/hocket.v1.Hocket/{method}")
        connection.send(frame(DATA, b"\0" + len(body).to_bytes(4, "big") + body, END_STREAM, 1))
        deadline = time.monotonic() + 20
        for kind, flags, stream, payload in connection.frames(20):
            if stream == 1 and kind == DATA:
                received += payload
            if stream == 1 and kind == HEADERS and flags & END_STREAM:
                return messages(received), parse(value_in(payload))
            assert time.monotonic() < deadline
    raise AssertionError("the call did not end")


def messages(data):
    found = []
    while data:
        size = int.from_bytes(data[1:5], "big")
        found.append(data[5:5 + size])
        data = data[5 + size:]
    return found
