"""A client that speaks just enough HTTP/2 to behave badly in ways that no gRPC library allows."""

import select
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = 1
INITIAL_WINDOW_SIZE = 4
END_STREAM = 1
END_HEADERS = 4
ENHANCE_YOUR_CALM = 11


def frame(kind, payload=b"", flags=0, stream=0):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header field that no table remembers."""
    def text(data):
        assert len(data) < 127
        return bytes([len(data)]) + data
    return b"\x00" + text(name.encode()) + text(value.encode())


def call_headers(path, *more):
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
              ("content-type", "application/grpc"), ("te", "trailers"), *more]
    return b"".join(literal(*field) for field in fields)


def settings_of(payload):
    return {int.from_bytes(payload[at:at + 2], "big"): int.from_bytes(payload[at + 2:at + 6], "big")
            for at in range(0, len(payload), 6)}


class RawConnection:
    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self._received = b""

    def send(self, *parts):
        self.socket.sendall(b"".join(parts))

    def greet(self):
        self.send(PREFACE, frame(SETTINGS), frame(SETTINGS, flags=1))

    def call(self, stream, path, *more):
        self.send(frame(HEADERS, call_headers(path, *more), END_HEADERS, stream))

    def frames(self, seconds):
        """(kind, flags, stream, payload) of what comes within the time, or until the end."""
        deadline = time.monotonic() + seconds
        while True:
            while len(self._received) >= 9:
                length = int.from_bytes(self._received[:3], "big")
                if len(self._received) < 9 + length:
                    break
                head, payload = self._received[:9], self._received[9:9 + length]
                self._received = self._received[9 + length:]
                yield head[3], head[4], int.from_bytes(head[5:], "big") & 0x7fffffff, payload
            if not select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
                return
            try:
                got = self.socket.recv(65536)
            except ConnectionError:
                return
            if not got:
                return
            self._received += got

    def ended(self, seconds):
        """Whether the server closes the connection within the time."""
        deadline = time.monotonic() + seconds
        while select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
            try:
                if not self.socket.recv(65536):
                    return True
            except ConnectionError:
                return True
        return False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class HalfMessage:
    """Calls on one connection whose messages are announced as long and never end. It minds the windows that the server
    gives it. `sent` is of all together; `told` has what the server said of each stream that it ended, encoded."""

    CHUNK = 16 << 10

    def __init__(self, target, path, message_bytes, *more, streams=1):
        self.sent, self.told = 0, {}
        self._connection_window = self._initial_window = 65535
        self._connection = RawConnection(target)
        self._connection.send(PREFACE, frame(SETTINGS))
        self._left = {}  # By stream that goes on: its window, and what it has sent.
        self._gone = False
        for stream in range(1, 2 * streams, 2):
            self._connection.call(stream, path, *more)
            self._left[stream] = [self._initial_window, 0]
            self._send(stream, b"\0" + message_bytes.to_bytes(4, "big"))

    @property
    def ended(self):
        return self._gone or not self._left

    def _send(self, stream, data):
        self._connection.send(frame(DATA, data, stream=stream))
        self._connection_window -= len(data)
        self._left[stream][0] -= len(data)
        self._left[stream][1] += len(data)
        self.sent += len(data)

    def go_on(self, at_most):
        """Answers what the server says, and sends what it may: of each message, so much."""
        try:
            for kind, flags, stream, payload in self._connection.frames(0):
                self._hear(kind, flags, stream, payload)
            for stream, (window, sent) in [] if self._gone else list(self._left.items()):
                room = min(window, at_most - sent, self._connection_window)
                for _ in range(room // self.CHUNK):
                    self._send(stream, bytes(self.CHUNK))
        except OSError:
            self._gone = True

    def _hear(self, kind, flags, stream, payload):
        if kind == WINDOW_UPDATE and stream:
            if stream in self._left:
                self._left[stream][0] += int.from_bytes(payload, "big")
        elif kind == WINDOW_UPDATE:
            self._connection_window += int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            window = settings_of(payload).get(INITIAL_WINDOW_SIZE, self._initial_window)
            for left in self._left.values():
                left[0] += window - self._initial_window
            self._initial_window = window
            self._connection.send(frame(SETTINGS, flags=ACK))
        elif kind == PING and not flags & ACK:
            self._connection.send(frame(PING, payload, ACK))
        elif kind == GOAWAY:
            self._gone = True
        elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
            self._left.pop(stream, None)
            self.told.setdefault(stream, payload)

    def close(self):
        self._connection.close()
