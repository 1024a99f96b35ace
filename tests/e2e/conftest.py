"""One server on the default model for the whole suite; tests that end or overload a server start
their own."""

import pytest

from server_process import ServerProcess

import grpc  # noqa: E402

from hocket.v1 import hocket_pb2_grpc  # noqa: E402


@pytest.fixture(scope="session")
def server():
    with ServerProcess() as process:
        yield process


@pytest.fixture(scope="session")
def channel(server):
    with grpc.insecure_channel(server.target) as channel:
        yield channel


@pytest.fixture(scope="session")
def stub(channel):
    return hocket_pb2_grpc.HocketStub(channel)
