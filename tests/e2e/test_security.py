"""Who may reach the server and how: keys, scopes and tenants, certificates, plaintext, and clients that mean harm."""

import contextlib
import datetime
import hashlib
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

import pytest

from certificates import Authority
from generation import generate_request
from raw_http2 import (END_HEADERS, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
                       HalfMessage, RawConnection, call_headers, frame)
from server_process import BINARY, ServerProcess

import grpc

from hocket.v1 import hocket_pb2, hocket_pb2_grpc

Code = grpc.StatusCode
RELOAD_S = 15  # A look a second, two looks, and a machine that is busy.
SECRET = "xyzzy-plugh"
RAW_LIMIT = 300


def entry(name, key, tenant="acme", scopes=("generate",), **more):
    return {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), "tenant": tenant,
            "scopes": list(scopes), **more}


def write_keys(path, *entries):
    """As operators should: whole, and owned by them alone."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"keys": entries}))
    fresh.chmod(0o600)
    os.replace(fresh, path)


STAFF = [entry("alice", "hk_alice"), entry("root", "hk_root", "ops", ["admin"]),
         entry("late", "hk_late", expires="2001-01-01T00:00:00Z"),
         entry("narrow", "hk_narrow", "narrow", limits={"max_requests": 1}),
         entry("capped", "hk_capped", "capped", max_new_tokens=200, highest_priority="standard")]


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    write_keys(path, *STAFF)
    return path


@pytest.fixture(scope="module")
def guarded(keys_file):
    with ServerProcess("--api-keys", str(keys_file), "--max-connections", str(RAW_LIMIT), "--log-level", "debug",
                       "--max-buffer-bytes", "32MiB", "--max-connection-idle-seconds", "5",
                       "--max-connection-calls-per-second", "300") as process:
        yield process


@pytest.fixture(scope="module")
def stub(guarded):
    with grpc.insecure_channel(guarded.target) as channel:
        yield hocket_pb2_grpc.HocketStub(channel)


def bearer(key, *more):
    return [("authorization", f"Bearer {key}"), *more]


def refusal(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def short(**fields):
    return generate_request(stopping={"max_new_tokens": 2}, **fields)


def long_stream(stub, metadata):
    """A stream that has begun and goes on until it is cancelled."""
    request = generate_request(context={"policy": "CONTEXT_POLICY_ROLL"},
                               stopping={"max_new_tokens": 1_000_000, "ignore_eos": True})
    stream = stub.StreamGenerate(request, metadata=metadata)
    assert next(stream).HasField("started")
    return stream


def goes_on(stream):
    """Whether it still brings what it did not have when this was called: more than could be under way."""
    return all(next(stream).HasField("delta") for _ in range(500))


def metric(server, name):
    text = urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10).read().decode()
    values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name)]
    return sum(float(value) for value in values)


def eventually(check, seconds=RELOAD_S):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def works(stub, key):
    try:
        stub.Generate(short(), metadata=bearer(key))
        return True
    except grpc.RpcError as error:
        assert error.code() == Code.UNAUTHENTICATED
        return False


def test_only_a_known_key_may_call(stub):
    assert stub.Generate(short(), metadata=bearer("hk_alice")).choices
    assert stub.Generate(short(), metadata=[("x-api-key", "hk_alice")]).choices
    assert refusal(lambda: stub.Generate(short())).code() == Code.UNAUTHENTICATED
    wrong = refusal(lambda: stub.Generate(short(), metadata=bearer("hk_mallory")))
    expired = refusal(lambda: stub.Generate(short(), metadata=bearer("hk_late")))
    assert (wrong.code(), wrong.details()) == (expired.code(), expired.details())
    assert wrong.code() == Code.UNAUTHENTICATED and "mallory" not in wrong.details()
    streamed = refusal(lambda: list(stub.StreamGenerate(short(), metadata=bearer("hk_mallory"))))
    assert streamed.code() == Code.UNAUTHENTICATED
    scheme = refusal(lambda: stub.Generate(short(), metadata=[("authorization", "Basic aGk=")]))
    assert scheme.code() == Code.INVALID_ARGUMENT and "aGk=" not in scheme.details()
    for method, request in ((stub.ListModels, hocket_pb2.ListModelsRequest()),
                            (stub.Tokenize, hocket_pb2.TokenizeRequest(text="a")),
                            (stub.Cancel, hocket_pb2.CancelRequest(request_id="a"))):
        assert refusal(lambda: method(request)).code() == Code.UNAUTHENTICATED


def test_a_key_may_do_what_its_scopes_say(stub):
    listing = hocket_pb2.ListRequestsRequest()
    denied = refusal(lambda: list(stub.ListRequests(listing, metadata=bearer("hk_alice"))))
    assert denied.code() == Code.PERMISSION_DENIED and "lacks the scope admin" in denied.details()
    list(stub.ListRequests(listing, metadata=bearer("hk_root")))
    assert refusal(lambda: stub.Generate(short(), metadata=bearer("hk_root"))).code() == Code.PERMISSION_DENIED
    foreign = hocket_pb2.CancelRequest(request_id="x", tenant="acme")
    assert refusal(lambda: stub.Cancel(foreign, metadata=bearer("hk_alice"))).code() == Code.PERMISSION_DENIED
    assert not stub.Cancel(foreign, metadata=bearer("hk_root")).found


def test_a_key_names_its_tenant_and_nobody_elses(stub):
    assert stub.Generate(short(), metadata=bearer("hk_alice", ("hocket-tenant", "acme"))).choices
    other = refusal(lambda: stub.Generate(short(), metadata=bearer("hk_alice", ("hocket-tenant", "ops"))))
    assert other.code() == Code.INVALID_ARGUMENT and "hocket-tenant" in other.details()


def test_a_tenant_is_held_to_the_limits_of_its_key(stub):
    held = long_stream(stub, bearer("hk_narrow"))
    error = refusal(lambda: stub.Generate(short(), metadata=bearer("hk_narrow")))
    assert error.code() == Code.RESOURCE_EXHAUSTED and "limit is 1" in error.details()
    assert stub.Generate(short(), metadata=bearer("hk_alice")).choices
    held.cancel()


def test_a_key_bounds_what_its_requests_may_ask_for(stub):
    assert stub.Generate(short(), metadata=bearer("hk_capped")).choices
    many = refusal(lambda: stub.Generate(generate_request(stopping={"max_new_tokens": 201}),
                                         metadata=bearer("hk_capped")))
    assert many.code() == Code.INVALID_ARGUMENT
    high = refusal(lambda: stub.Generate(short(scheduling={"priority": "PRIORITY_CLASS_INTERACTIVE"}),
                                         metadata=bearer("hk_capped")))
    assert high.code() == Code.PERMISSION_DENIED


def test_health_is_open_and_reflection_is_closed_where_keys_are(guarded):
    with grpc.insecure_channel(guarded.target) as channel:
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert health(b"") == b"\x08\x01"
        reflection = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        assert refusal(lambda: list(reflection(iter([b"\x3a\x01*"])))).code() == Code.UNIMPLEMENTED


def test_keys_are_read_again_while_a_stream_runs_on(guarded, stub, keys_file):
    stream = long_stream(stub, bearer("hk_alice"))
    write_keys(keys_file, *STAFF[1:], entry("bob", "hk_bob"))
    eventually(lambda: works(stub, "hk_bob"))
    assert not works(stub, "hk_alice")
    assert goes_on(stream)
    stream.cancel()

    failed = 'hocket_config_reloads_total{outcome="error",what="api_keys"}'
    before = metric(guarded, failed)
    keys_file.write_text('{"keys": [{"name": "bob"}]}')
    eventually(lambda: metric(guarded, failed) > before)
    assert works(stub, "hk_bob")
    assert any('keys[0]' in line and "tenant" in line for line in guarded.log)
    write_keys(keys_file, *STAFF)
    eventually(lambda: works(stub, "hk_alice"))


def test_a_prompt_is_never_in_the_log(guarded, stub):
    wrong = [short(text=SECRET), short(text=SECRET, request_id="a"), short(text=SECRET, model="none"),
             short(text=SECRET, sampling={"top_k": -1}), short(text=SECRET * 9000),
             generate_request(text=SECRET, stopping={"stop_strings": [SECRET], "max_new_tokens": 3}),
             generate_request(text=SECRET, stopping={"stop_strings": [SECRET * 999]}),
             generate_request(text="a", constraint={"regex": SECRET + "("}),
             generate_request(text="a", constraint={"json_schema": '{"type": "%s"}' % SECRET}),
             generate_request(text="a", constraint={"lark": SECRET + "!!"}),
             generate_request(chat={"messages": [{"role": "nobody", "content": SECRET}]}),
             generate_request(text=SECRET + "a", context={"policy": 99})]
    for request in wrong:
        with contextlib.suppress(grpc.RpcError):
            stub.Generate(request, metadata=bearer("hk_alice"))
        with contextlib.suppress(grpc.RpcError):
            list(stub.StreamGenerate(request, metadata=bearer("hk_alice"), timeout=10))
    with contextlib.suppress(grpc.RpcError):
        stub.Score(hocket_pb2.ScoreRequest(text=SECRET, top_logprobs=-1), metadata=bearer("hk_alice"))
    with contextlib.suppress(grpc.RpcError):
        stub.Generate(short(), metadata=bearer(f"hk_{SECRET}"))
    eventually(lambda: sum("method=Generate" in line for line in guarded.log) >= len(wrong))
    assert not [line for line in guarded.log if SECRET in line]


def test_pings_without_end_are_answered_with_goodbye(guarded):
    with RawConnection(guarded.target) as rude:
        rude.greet()
        goodbyes = []
        for count in range(50):
            with contextlib.suppress(ConnectionError):
                rude.send(frame(PING, count.to_bytes(8, "big")))
            goodbyes += [payload for kind, _, _, payload in rude.frames(0.1) if kind == GOAWAY]
            if goodbyes:
                break
        assert int.from_bytes(goodbyes[0][4:8], "big") == ENHANCE_YOUR_CALM
        assert b"too_many_pings" in goodbyes[0]
        assert rude.ended(5)


def test_metadata_beyond_the_limit_is_refused(guarded):
    """On a connection of its own: gRPC 1.51 sometimes ends that, too, where the metadata takes two frames."""
    with grpc.insecure_channel(guarded.target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        own = hocket_pb2_grpc.HocketStub(channel)
        large = refusal(lambda: own.Generate(short(), metadata=bearer("hk_alice", ("x-large", "a" * 20000))))
    assert large.code() == Code.RESOURCE_EXHAUSTED


def test_connections_beyond_the_limit_are_closed_and_counted(guarded, stub):
    stub.Generate(short(), metadata=bearer("hk_alice"))
    refused = metric(guarded, "hocket_connections_refused_total")
    silent = [RawConnection(guarded.target) for _ in range(RAW_LIMIT + 5)]
    assert all(connection.ended(5) for connection in silent[-5:])
    assert metric(guarded, "hocket_connections ") == RAW_LIMIT
    assert metric(guarded, "hocket_connections_refused_total") >= refused + 5
    assert stub.Generate(short(), metadata=bearer("hk_alice")).choices  # Whoever is in stays in.
    for connection in silent:
        connection.close()
    eventually(lambda: metric(guarded, "hocket_connections ") < 10)


def descriptors(server):
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def test_slow_senders_and_idle_connections_are_ended_and_harm_nobody(guarded, stub):
    before = descriptors(guarded)
    idle = RawConnection(guarded.target)
    idle.greet()
    half = PREFACE + frame(SETTINGS, b"\0\3\0\0\0\5")[:-2]
    slow = [RawConnection(guarded.target) for _ in range(200)]
    for connection in slow:
        connection.send(half)
    start = time.monotonic()
    assert stub.Generate(short(), metadata=bearer("hk_alice")).choices
    assert time.monotonic() - start < 5
    assert all(connection.ended(max(0.1, start + 20 - time.monotonic())) for connection in slow)
    assert idle.ended(1)
    for connection in (*slow, idle):
        connection.close()
    eventually(lambda: descriptors(guarded) <= before + 2)


def resident_mib(server):
    pages = int(open(f"/proc/{server.pid}/statm").read().split()[1])
    return pages * resource.getpagesize() / 2**20


def test_messages_that_never_end_are_held_in_bounded_memory(guarded, stub):
    """60 half messages of 4 MiB would be 240 MiB, where 32 may be held."""
    stub.Generate(short(), metadata=bearer("hk_alice"))
    before, worst = resident_mib(guarded), 0
    senders = [HalfMessage(guarded.target, "/hocket.v1.Hocket/Generate", 8 << 20,
                           ("authorization", "Bearer hk_alice")) for _ in range(60)]
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        for sender in senders:
            sender.go_on(4 << 20)
        worst = max(worst, resident_mib(guarded) - before)
        time.sleep(0.01)
    sent = sum(sender.sent for sender in senders) / 2**20
    assert sent > 40 and worst < 120, f"{worst:.0f} MiB for {sent:.0f} MiB sent"
    assert any(sender.ended for sender in senders)
    for sender in senders:
        sender.close()
    eventually(lambda: metric(guarded, "hocket_connections ") < 10)
    assert stub.Generate(short(), metadata=bearer("hk_alice")).choices


def test_calls_opened_and_reset_without_end_end_their_connection(guarded, stub):
    """HTTP/2's "rapid reset": gRPC itself would take gigabytes for it within seconds."""
    before, ended = resident_mib(guarded), metric(guarded, "hocket_connections_ended_total")
    with RawConnection(guarded.target) as rude:
        rude.greet()
        headers, worst, deadline = call_headers("/hocket.v1.Hocket/Generate"), 0, time.monotonic() + 10
        # Where calls come faster than they end, gRPC may also leave the rest unread.
        with contextlib.suppress(ConnectionError, TimeoutError):
            for first in range(1, 2**31, 200):
                assert time.monotonic() < deadline, "the connection goes on"
                rude.socket.settimeout(3)
                rude.send(*(frame(HEADERS, headers, END_HEADERS, stream) + frame(RST_STREAM, b"\0\0\0\10", 0, stream)
                            for stream in range(first, first + 200, 2)))
                worst = max(worst, resident_mib(guarded) - before)
        worst = max(worst, resident_mib(guarded) - before)
        assert worst < 200, f"{worst:.0f} MiB"
        eventually(lambda: metric(guarded, "hocket_connections_ended_total") == ended + 1)
    assert stub.Generate(short(), metadata=bearer("hk_alice")).choices  # And nobody else's has.


def serve_ends(*flags):
    done = subprocess.run([BINARY, "serve", "--metrics-listen", "off", *flags], capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stderr


def test_the_network_is_not_served_in_plaintext_unless_asked(tmp_path):
    status, error = serve_ends("--listen", "0.0.0.0:0")
    assert status == 2 and "--tls-cert" in error and "--allow-plaintext" in error
    status, error = serve_ends("--tls-cert", "a.crt")
    assert status == 2 and "together" in error
    status, error = serve_ends("--tls-cert", "/nowhere/a.crt", "--tls-key", "/nowhere/a.key")
    assert status == 2 and "--tls-cert: cannot read /nowhere/a.crt" in error
    bad = tmp_path / "bad.json"
    bad.write_text('{"keys": [{"name": "a", "tenant": "t", "scopes": ["all"]}]}')
    status, error = serve_ends("--api-keys", str(bad))
    assert status == 2 and f"--api-keys: {bad}: keys[0] (\"a\"): " in error
    with ServerProcess("--listen", "0.0.0.0:0", "--allow-plaintext") as own:
        assert any("anybody who reaches 0.0.0.0" in line for line in own.log)
        with grpc.insecure_channel(own.target.replace("0.0.0.0", "127.0.0.1")) as channel:
            stub = hocket_pb2_grpc.HocketStub(channel)
            assert stub.Generate(short()).choices
            admin = refusal(lambda: list(stub.ListRequests(hocket_pb2.ListRequestsRequest())))
            assert admin.code() == Code.PERMISSION_DENIED


def certificate_names(target, authority, client):
    """Of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=authority.certificate)
    context.load_cert_chain(client.certificate, client.key)
    context.set_alpn_protocols(["h2"])
    host, port = target.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
            return dict(field[0] for field in wrapped.getpeercert()["subject"])["commonName"]


def secure_stub(stack, target, authority, client=None):
    credentials = grpc.ssl_channel_credentials(
        authority.certificate.read_bytes(), *((client.key.read_bytes(), client.certificate.read_bytes())
                                              if client else ()))
    # A channel of its own: gRPC shares connections between channels that look the same.
    options = [("grpc.use_local_subchannel_pool", 1)]
    channel = stack.enter_context(grpc.secure_channel(target.replace("127.0.0.1", "localhost"), credentials, options))
    return hocket_pb2_grpc.HocketStub(channel)


def install(certificate, folder):
    for source, name in ((certificate.key, "server.key"), (certificate.certificate, "server.crt")):
        fresh = folder / f"{name}.new"
        fresh.write_bytes(source.read_bytes())
        os.replace(fresh, folder / name)


def test_mutual_tls_names_callers_and_takes_new_certificates_while_a_stream_runs_on(tmp_path):
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    install(authority.issue("first", days=3), tmp_path)
    batch = authority.issue("batch", "URI:spiffe://example.org/batch")
    other = authority.issue("other", "DNS:other.example.org")
    keys = tmp_path / "keys.json"
    write_keys(keys, {"name": "batch", "tenant": "acme", "scopes": ["generate"],
                      "certificate_san": "spiffe://example.org/batch"}, entry("alice", "hk_alice"))
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(ServerProcess(
            "--tls-cert", str(tmp_path / "server.crt"), "--tls-key", str(tmp_path / "server.key"),
            "--tls-client-ca", str(authority.certificate), "--api-keys", str(keys)))
        assert any("tls_certificate_expires_soon" in line and "CN=first" in line for line in own.log)
        named = secure_stub(stack, own.target, authority, batch)
        assert named.Generate(short()).choices
        unnamed = secure_stub(stack, own.target, authority, other)
        assert refusal(lambda: unnamed.Generate(short())).code() == Code.UNAUTHENTICATED
        assert unnamed.Generate(short(), metadata=bearer("hk_alice")).choices
        for client in (None, stranger.issue("foreign")):
            turned_away = secure_stub(stack, own.target, authority, client)
            assert refusal(lambda: turned_away.Generate(short(), timeout=3)).code() in (
                Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)

        stream = long_stream(named, None)
        install(authority.issue("second"), tmp_path)
        eventually(lambda: certificate_names(own.target, authority, batch) == "second")
        assert goes_on(stream)
        stream.cancel()
        expiry = metric(own, "hocket_tls_certificate_expiry_timestamp_seconds ")
        days = (expiry - datetime.datetime.now().timestamp()) / 86400
        assert 29 < days < 31

        (tmp_path / "server.key").write_bytes(other.key.read_bytes())
        failed = 'hocket_config_reloads_total{outcome="error",what="tls"}'
        eventually(lambda: metric(own, failed) == 1)
        assert any("is not the key of the certificate" in line for line in own.log)
        assert certificate_names(own.target, authority, batch) == "second"
        assert secure_stub(stack, own.target, authority, batch).Generate(short()).choices
        with RawConnection(own.target) as plain:
            plain.greet()
            assert plain.ended(5)


def test_a_hangup_takes_new_keys_and_certificates_and_keeps_the_old_where_the_new_are_broken(tmp_path):
    """What a change of the files does by itself a second or two later, at once and in any case."""
    authority = Authority(tmp_path)
    install(authority.issue("first"), tmp_path)
    client, keys = authority.issue("client"), tmp_path / "keys.json"
    write_keys(keys, entry("alice", "hk_alice"))

    def hang_up(outcome):
        names = [f'hocket_config_reloads_total{{outcome="{outcome}",what="{what}"}}' for what in ("tls", "api_keys")]
        before = [metric(own, name) for name in names]
        own.process.send_signal(signal.SIGHUP)
        eventually(lambda: all(metric(own, name) > count for name, count in zip(names, before)))

    def lines_of(outcome):
        return [line for line in own.log if f"outcome={outcome}" in line and "reload what=" in line]

    with contextlib.ExitStack() as stack:
        own = stack.enter_context(ServerProcess("--tls-cert", str(tmp_path / "server.crt"), "--tls-key",
                                                str(tmp_path / "server.key"), "--api-keys", str(keys)))
        stub = secure_stub(stack, own.target, authority)
        stream = long_stream(stub, bearer("hk_alice"))

        hang_up("ok")  # Though nothing has changed.
        assert certificate_names(own.target, authority, client) == "first" and works(stub, "hk_alice")

        install(authority.issue("second"), tmp_path)
        write_keys(keys, entry("bob", "hk_bob", "north"))
        hang_up("ok")
        assert certificate_names(own.target, authority, client) == "second"
        assert works(stub, "hk_bob") and not works(stub, "hk_alice")
        assert works(secure_stub(stack, own.target, authority), "hk_bob")
        assert goes_on(stream)
        assert metric(own, 'hocket_tenant_requests_total{model="tales",tenant="north"}') == 2
        assert metric(own, 'hocket_tenant_requests_total{model="tales",tenant="other"}') == 0
        assert lines_of("error") == []

        (tmp_path / "server.crt").write_text("no certificate")
        keys.write_text('{"keys": 7}')
        hang_up("error")
        assert certificate_names(own.target, authority, client) == "second"
        assert works(stub, "hk_bob") and works(secure_stub(stack, own.target, authority), "hk_bob")
        assert goes_on(stream)
        stream.cancel()
        broken = lines_of("error")
        assert all(any(f"what={what}" in line and "kept=" in line and why in line for line in broken)
                   for what, why in (("tls", "holds no PEM certificate"), ("api_keys", "a list named keys")))


def test_make_key_prints_a_key_and_the_entry_that_knows_it(tmp_path):
    made = subprocess.run([BINARY, "make-key", "--name", "n", "--tenant", "t", "--scope", "generate", "--scope",
                           "admin", "--expires", "2040-01-01T00:00:00Z"], check=True, capture_output=True, text=True)
    key, line = made.stdout.splitlines()[0], made.stdout.splitlines()[-1]
    assert key.startswith("hk_") and len(key) == 3 + 43
    assert json.loads(line) == entry("n", key, "t", ["generate", "admin"], expires="2040-01-01T00:00:00Z")
    wrong = subprocess.run([BINARY, "make-key", "--name", "n", "--tenant", "t", "--expires", "soon"],
                           capture_output=True, text=True)
    assert wrong.returncode != 0 and "expires" in wrong.stderr
