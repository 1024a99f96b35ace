"""Headers that do not end: the connection that sends them is ended soon, and costs little until then."""

import itertools
import pathlib
import resource
import time

import pytest

from metrics_page import read
from raw_http2 import END_HEADERS, HEADERS, RawConnection, call_headers, frame

CONTINUATION = 9
CANCEL = "/hocket.v1.Hocket/Cancel"
GIBIBYTE = b"\x7f\x81\xff\xff\xff\x03"  # As HPACK writes a length of 2^30 bytes.
FRAME = 16 << 10


def literal_of_a_gibibyte():
    yield call_headers(CANCEL) + b"\x00\x01x" + GIBIBYTE
    yield from itertools.repeat(b"a" * FRAME)


def headers_without_end():
    """Each frame's are within the limit on metadata; together they are not."""
    yield call_headers(CANCEL)
    yield from itertools.repeat(b"\x00\x01x\x64" + b"a" * 100)


def a_number_without_end():
    yield call_headers(CANCEL) + b"\x7f"
    yield from itertools.repeat(b"\x80" * FRAME)


def bytes_one_by_one():
    yield call_headers(CANCEL) + b"\x00\x01x" + GIBIBYTE + b"a" * 8000
    yield from itertools.repeat(b"a")


def nothing_again_and_again():
    yield call_headers(CANCEL)
    yield from itertools.repeat(b"")


def resident_mib(server):
    pages = int(pathlib.Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def cpu_seconds(server):
    fields = pathlib.Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / 100


def send_until_ended(connection, pieces, seconds=20):
    """How many bytes of pieces it took for the server to close the connection."""
    connection.greet()
    connection.socket.settimeout(seconds)
    sent, deadline = 0, time.monotonic() + seconds
    try:
        for number, piece in enumerate(pieces):
            assert time.monotonic() < deadline, f"the connection goes on after {sent} bytes"
            connection.send(frame(CONTINUATION if number else HEADERS, piece, 0, 1))
            sent += len(piece)
    except ConnectionError:
        return sent


@pytest.mark.parametrize("pieces", [literal_of_a_gibibyte, headers_without_end, a_number_without_end,
                                    bytes_one_by_one, nothing_again_and_again])
def test_headers_that_do_not_end_end_their_connection(server, pieces):
    refused = read(server).value("hocket_header_blocks_refused_total")
    memory, cpu = resident_mib(server), cpu_seconds(server)
    with RawConnection(server.target) as connection:
        sent = send_until_ended(connection, pieces())
    print(f"{sent} bytes, {cpu_seconds(server) - cpu:.2f} s, {resident_mib(server) - memory:.1f} MiB")
    assert resident_mib(server) - memory < 64 and cpu_seconds(server) - cpu < 5
    assert read(server).value("hocket_header_blocks_refused_total") == refused + 1


def test_headers_in_several_frames_are_those_of_a_call(server):
    headers = call_headers(CANCEL)
    pieces = [headers[at:at + 20] for at in range(0, len(headers), 20)]
    assert 3 < len(pieces) < 32
    with RawConnection(server.target) as connection:
        connection.greet()
        for stream in (1, 3, 5):  # One connection's blocks are counted each for itself.
            for number, piece in enumerate(pieces):
                connection.send(frame(CONTINUATION if number else HEADERS, piece,
                                      END_HEADERS if number == len(pieces) - 1 else 0, stream))
            connection.send(frame(0, b"\0\0\0\0\0", 1, stream))  # An empty message, and no more.
            answers = (kind for kind, _, of, _ in connection.frames(10) if of == stream)
            assert next(answers, None) == HEADERS
