"""A client that speaks just enough HTTP/2 to behave badly in ways that no gRPC library allows."""

import select
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = 1
INITIAL_WINDOW_SIZE = 4
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
    """A call whose message is announced as long and never ends. It minds the windows that the server gives it."""

    CHUNK = 16 << 10

    def __init__(self, target, path, message_bytes, *more):
        self.sent, self.ended = 0, False
        self._connection_window = self._initial_window = 65535
        self._connection = RawConnection(target)
        self._connection.send(PREFACE, frame(SETTINGS))
        self._connection.call(1, path, *more)
        self._stream_window = self._initial_window
        self._send(b"\0" + message_bytes.to_bytes(4, "big"))

    def _send(self, data):
        self._connection.send(frame(DATA, data, stream=1))
        self._connection_window -= len(data)
        self._stream_window -= len(data)
        self.sent += len(data)

    def go_on(self, at_most):
        """Answers what the server says, and sends what it may."""
        try:
            for kind, flags, stream, payload in self._connection.frames(0):
                self._hear(kind, flags, stream, payload)
            while not self.ended and self.sent < at_most and self.CHUNK <= min(
                    self._connection_window, self._stream_window):
                self._send(bytes(self.CHUNK))
        except OSError:
            self.ended = True

    def _hear(self, kind, flags, stream, payload):
        if kind == WINDOW_UPDATE and stream:
            self._stream_window += int.from_bytes(payload, "big")
        elif kind == WINDOW_UPDATE:
            self._connection_window += int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            window = settings_of(payload).get(INITIAL_WINDOW_SIZE, self._initial_window)
            self._stream_window += window - self._initial_window
            self._initial_window = window
            self._connection.send(frame(SETTINGS, flags=ACK))
        elif kind == PING and not flags & ACK:
            self._connection.send(frame(PING, payload, ACK))
        elif kind in (RST_STREAM, GOAWAY):
            self.ended = True

    def close(self):
        self._connection.close()
