"""HTTP/1.1 as servers really speak it, and the way to them: proxies, authorities, both families of addresses."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading

import pytest
import trustme

from synth.backends import dial, wire
from synth.backends.dial import origin_of
from synth.backends.online import online
from synth.errors import Fatal
from synth.protocol.endpoint import Endpoint, Limits
from synth.types import CONTINUED
from tests.faults.scripted import ANSWER, CHUNKED, READ, WAIT, Scripted, both_loops, chunk, reply, request, sends
from tests.faults.test_transport import tls_server

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in (*PROXY_VARIABLES, "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def names(monkeypatch):
    """Host names that mean addresses of this machine, and how often each was asked for."""
    asked, known, working = [], {}, socket.getaddrinfo

    def getaddrinfo(host, port, *arguments, **named):
        if host not in known:
            return working(host, port, *arguments, **named)
        asked.append(host)
        found = [working(address, port, *arguments, **named) for address in known[host]]
        return [info for infos in found for info in infos]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known, asked


@both_loops
def test_a_request_is_one_header_block_and_the_body_as_it_is(run, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-test")
    body = '{"q": "日本語\\ud83d"}'.encode()
    with Scripted([READ, reply(ANSWER)]) as server:

        async def main():
            endpoint = Endpoint(model="m", base_url=server.url, key_variable="SOME_KEY")
            async with online(endpoint, server.url) as backend:
                return await backend.send(request(body))

        outcome = run(main())
    (post,) = server.posts
    lines = post.head.decode("ascii").split("\r\n")
    assert outcome.status == 200
    assert post.body == body
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    assert {
        f"Host: 127.0.0.1:{server.port}",
        "Authorization: Bearer sk-test",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    } <= set(lines)


def test_what_a_path_tells_its_reader_alone_is_not_sent():
    with Scripted([READ, reply(ANSWER)]) as server:

        async def main():
            async with online(Endpoint(model="m", base_url=server.url), server.url) as backend:
                return await backend.send(request()._replace(path=CONTINUED))

        assert asyncio.run(main()).status == 200
    (post,) = server.posts
    assert post.head.partition(b"\r\n")[0] == b"POST /v1/completions HTTP/1.1"


@both_loops
def test_a_clean_connection_is_used_again_and_the_last_used_first(run):
    with Scripted([READ, reply(ANSWER)] * 3 + [WAIT]) as server:
        outcomes = run(sends(server.url, 3))
    assert [outcome.status for outcome in outcomes] == [200] * 3
    assert server.connections == 1


@both_loops
@pytest.mark.parametrize(
    "first",
    [
        reply(ANSWER, "X-Request-Id: 7", "Connection: close"),
        reply(ANSWER, "X-Request-Id: 7").replace(b"HTTP/1.1", b"HTTP/1.0"),
        reply(ANSWER, "X-Request-Id: 7") + b"HTTP/1.1 200",
        reply(ANSWER, "X-Request-Id: 7") + reply(b"another's answer", "X-Request-Id: 8"),
        reply(ANSWER, "X-Request-Id: 7") + b"garbage",
    ],
    ids=["close", "1.0", "part of a second reply", "a second reply", "garbage"],
)
def test_a_connection_that_may_hold_another_reply_is_not_used_again(run, first):
    with Scripted([READ, first, WAIT], [READ, reply(b"second"), WAIT]) as server:
        outcomes = run(sends(server.url, 2))
    assert [(outcome.body, outcome.error) for outcome in outcomes] == [(ANSWER, ""), (b"second", "")]
    assert outcomes[0].headers == {"x-request-id": "7"}
    assert server.connections == 2


def test_what_a_server_says_unasked_closes_the_connection():
    with Scripted([READ, reply(ANSWER), 0.05, reply(b"unasked"), WAIT], [READ, reply(b"second"), WAIT]) as server:

        async def main():
            async with online(Endpoint(model="m", base_url=server.url), server.url) as backend:
                await backend.send(request())
                while backend.standing:
                    await asyncio.sleep(0.01)
                return await backend.send(request())

        assert asyncio.run(main()).body == b"second"


def test_a_connection_that_was_kept_too_long_is_not_used_again(monkeypatch):
    monkeypatch.setattr(wire, "LONGEST_IDLE_S", 0.0)
    monkeypatch.setattr(wire, "UNWATCHED_S", -1.0)
    with Scripted([READ, reply(ANSWER), WAIT]) as server:
        outcomes = asyncio.run(sends(server.url, 2))
    assert [outcome.status for outcome in outcomes] == [200, 200]
    assert server.connections == 2


@both_loops
def test_interim_replies_are_skipped(run):
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n"
    with Scripted([READ, interim, 0.01, interim + reply(ANSWER, "X-Request-Id: 7"), WAIT]) as server:
        (outcome,) = run(sends(server.url))
    assert (outcome.status, outcome.body, outcome.error) == (200, ANSWER, "")
    assert outcome.headers == {"x-request-id": "7"}


@both_loops
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_reply_without_a_body_is_whole(run, status):
    with Scripted([READ, f"HTTP/1.1 {status}\r\n\r\n".encode(), READ, reply(ANSWER), WAIT]) as server:
        first, second = run(sends(server.url, 2))
    assert (first.status, first.body, first.error) == (int(status[:3]), b"", "")
    assert (second.body, server.connections) == (ANSWER, 1)


@both_loops
def test_a_reply_without_a_length_ends_with_its_connection(run):
    with Scripted([READ, b"HTTP/1.1 200 OK\r\n\r\n", ANSWER[:9], 0.02, ANSWER[9:]]) as server:
        (outcome,) = run(sends(server.url))
    assert (outcome.status, outcome.body, outcome.error) == (200, ANSWER, "")


@both_loops
def test_a_chunked_reply_may_come_in_any_pieces_with_extensions_and_trailers(run):
    text = "答え: 42\n".encode()
    ended = CHUNKED + b"3;name=value\r\n" + text[:3] + b"\r\n" + chunk(text[3:]) + b"0\r\nRetry-After: 5\r\n\r\n"
    byte_by_byte = [step for byte in ended for step in (bytes([byte]), 0.0002)]
    with Scripted([READ, *byte_by_byte, READ, reply(ANSWER), WAIT]) as server:
        first, second = run(sends(server.url, 2))
    assert (first.body, first.error) == (text, "")
    assert "retry-after" not in first.headers, "a trailer is not a header"
    assert (second.body, server.connections) == (ANSWER, 1)


@both_loops
@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        CHUNKED + b"zz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
    ],
)
def test_what_is_not_http_is_one_outcome(run, said):
    with Scripted([READ, said, WAIT]) as server:
        (outcome,) = run(sends(server.url))
    assert (outcome.error, outcome.written) == ("reset", True)
    assert outcome.detail


@both_loops
@pytest.mark.parametrize(
    "piece",
    [b"X-More: " + b"x" * 1000 + b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"x" * 1000],
    ids=["headers", "interim", "one header"],
)
def test_a_header_without_an_end_is_cut_off(run, piece):
    start = b"" if piece.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\nX-First: 1"
    start += b"\r\n" if piece.startswith(b"X-") else b""
    with Scripted([READ, start, *[piece] * 40_000, WAIT]) as server:
        (outcome,) = run(sends(server.url))
    assert (outcome.error, outcome.written) == ("too_large", True)
    assert "header" in outcome.detail


@both_loops
def test_an_answer_before_the_whole_request_was_read_is_heard(run):
    refused = reply(b"too long", status="413 Content Too Large")
    with Scripted([lambda connection: connection.recv(1000), refused, WAIT]) as server:
        (outcome,) = run(sends(server.url, body=b"x" * 30_000_000))
    assert (outcome.status, outcome.body, outcome.error) == (413, b"too long", "")


@both_loops
def test_a_cancelled_send_closes_its_connection(run):
    closed = threading.Event()

    def heard_the_end(connection):
        while connection.recv(65536):
            pass
        closed.set()

    with Scripted([READ, heard_the_end], [READ, reply(ANSWER), WAIT]) as server:

        async def main():
            async with online(Endpoint(model="m", base_url=server.url), server.url) as backend:
                task = asyncio.ensure_future(backend.send(request()))
                while not server.posts:
                    await asyncio.sleep(0.005)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                outcome = await backend.send(request())
                return task.cancelled(), outcome

        cancelled, outcome = run(main())
        assert closed.wait(10)
    assert cancelled
    assert (outcome.body, server.connections) == (ANSWER, 2)


# ---- the way there


def test_a_thousand_connections_at_once_look_the_name_up_once(names):
    known, asked = names  # (uvloop asks the system's resolver itself, where no name can be made up)
    known["teacher.example"] = ["127.0.0.1"]

    async def main(url):
        async with online(Endpoint(model="m", base_url=url), url) as backend:
            return await asyncio.gather(*(backend.send(request()) for _ in range(1024)))

    with Scripted([READ, reply(ANSWER)]) as server:
        outcomes = asyncio.run(main(f"http://teacher.example:{server.port}/v1"))
    assert {(outcome.status, outcome.error) for outcome in outcomes} == {(200, "")}
    assert asked == ["teacher.example"]
    assert server.connections == 1024


@pytest.mark.parametrize("order", [["::1", "127.0.0.1"], ["127.0.0.1", "::1"]])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_host_with_two_families_is_reached_over_the_one_that_answers(names, order, host):
    known, _ = names
    known["teacher.example"] = order
    with Scripted([READ, reply(ANSWER, "Connection: close")], host=host) as server:
        outcomes = asyncio.run(sends(f"http://teacher.example:{server.port}/v1", 3))
    assert [outcome.error for outcome in outcomes] == [""] * 3


@both_loops
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_localhost_is_reached_over_the_family_that_answers(run, host):
    with Scripted([READ, reply(ANSWER, "Connection: close")], host=host) as server:
        outcomes = run(sends(f"http://localhost:{server.port}/v1", 2))
    if len({info[0] for info in socket.getaddrinfo("localhost", 80)}) == 2 or host == "127.0.0.1":
        assert [outcome.error for outcome in outcomes] == [""] * 2


@both_loops
def test_an_ipv6_address_is_reached_with_and_without_tls(run, tmp_path, monkeypatch):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    for context in (None, tls_server(authority, "::1")):
        with Scripted([READ, reply(ANSWER)], host="::1", tls=context) as server:
            (outcome,) = run(sends(server.url))
        assert (outcome.status, outcome.error, outcome.detail) == (200, "", "")
        assert f"Host: [::1]:{server.port}\r\n".encode() in server.posts[0].head


@both_loops
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_the_authorities_that_the_environment_names_are_trusted(run, variable, tmp_path, monkeypatch):
    authority, host = trustme.CA(), "127.0.0.1"
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    if variable == "SSL_CERT_DIR":
        hashed = pytest.importorskip("cryptography.x509")
        path = _hashed(tmp_path / "certificates", authority, hashed)
    monkeypatch.setenv(variable, str(path))
    spoken = []

    def note(connection):
        spoken.append((connection.version(), connection.selected_alpn_protocol()))

    with Scripted([READ, note, reply(ANSWER), READ, reply(ANSWER), WAIT], tls=tls_server(authority, host)) as server:
        outcomes = run(sends(server.url, 2))
    assert [(outcome.status, outcome.error, outcome.detail) for outcome in outcomes] == [(200, "", "")] * 2
    assert server.connections == 1
    assert spoken == [("TLSv1.3", "http/1.1")]


def _hashed(folder, authority, x509):
    """A folder of certificates as `openssl rehash` leaves it; the hash is of the subject's canonical form."""
    import hashlib

    folder.mkdir()
    pem = authority.cert_pem.bytes()
    subject = x509.load_pem_x509_certificate(pem).subject
    canonical = b""
    for attribute in subject:
        value = " ".join(attribute.value.lower().split()).encode()
        oid = attribute.oid.dotted_string.split(".")
        encoded = bytes([int(oid[0]) * 40 + int(oid[1])]) + bytes(int(part) for part in oid[2:])
        inner = b"\x06" + bytes([len(encoded)]) + encoded + b"\x0c" + bytes([len(value)]) + value
        sequence = b"\x30" + bytes([len(inner)]) + inner
        canonical += b"\x31" + bytes([len(sequence)]) + sequence
    number = int.from_bytes(hashlib.sha1(canonical).digest()[:4], "little")
    (folder / f"{number:08x}.0").write_bytes(pem)
    return folder


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_an_authority_file_that_cannot_be_read_is_one_sentence(variable, kind, tmp_path, monkeypatch):
    path = tmp_path / "ca.pem"
    if kind == "empty":
        path.write_text("証明書ではない\n")
    monkeypatch.setenv(variable, str(path))
    with pytest.raises(Fatal, match=rf"^{variable} names .*ca\.pem, which holds no readable certificates \(.+\)\.$"):
        asyncio.run(sends("https://127.0.0.1:9/v1"))


def test_a_server_without_tls_behind_an_https_address_is_told():
    with Scripted([0.05, reply(ANSWER)]) as server:
        (outcome,) = asyncio.run(sends(server.url.replace("http:", "https:")))
    assert (outcome.error, outcome.written, server.posts) == ("tls", False, [])


@both_loops
def test_a_connection_that_does_not_come_about_in_time_is_told(run, monkeypatch):
    monkeypatch.setattr(wire, "CONNECT_S", 0.1)
    with Scripted([WAIT]) as server:  # accepts, and shakes no hands
        url = server.url.replace("http:", "https:")
        (slow,) = run(sends(url))
        (late,) = run(sends(url, deadline_s=0.05))
    assert (slow.error, slow.written, slow.detail) == ("connect", False, "no connection within 0.1 s")
    assert (late.error, late.written) == ("timeout", False)


# ---- proxies


class Proxy:
    """A small CONNECT and absolute-form proxy on loopback; every host name it is asked for is this machine."""

    def __init__(self, credentials: str = "") -> None:
        self.asked: list[bytes] = []
        self.server = Scripted(lambda: [self.follow])
        self.credentials = credentials

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.server.__exit__(*error)

    def follow(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        self.asked.append(head)
        if self.credentials and f"Proxy-Authorization: {self.credentials}\r\n".encode() not in head:
            connection.sendall(reply(b"who?", status="407 Proxy Authentication Required"))
            return
        method, target, _ = head.split(b" ", 2)
        port = int(target.removeprefix(b"http://").split(b"/")[0].rsplit(b":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as onward:
            if method == b"CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                onward.sendall(head)
            while True:
                ready, _, _ = select.select([connection, onward], [], [], 30)
                for one, other in ((connection, onward), (onward, connection)):
                    if one in ready:
                        data = one.recv(65536)
                        if not data:
                            return
                        other.sendall(data)


USER = "Basic dXNlcjpww6Rzcy93b3Jk"  # user:päss/word
KNOWN = "user:p%C3%A4ss%2Fword@"


@both_loops
@pytest.mark.parametrize("credentials", ["", USER])
def test_an_https_server_is_reached_through_a_tunnel(run, credentials, tmp_path, monkeypatch):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SOME_KEY", "sk-canary")
    context = tls_server(authority, "teacher.example")
    with Scripted([READ, reply(ANSWER)] * 2 + [WAIT], tls=context) as server, Proxy(credentials) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{KNOWN if credentials else ''}127.0.0.1:{proxy.server.port}")
        url = f"https://teacher.example:{server.port}/v1"

        async def main():
            endpoint = Endpoint(model="m", base_url=url, key_variable="SOME_KEY")
            async with online(endpoint, url) as backend:
                return [await backend.send(request()) for _ in range(2)]

        outcomes = run(main())
    assert [(outcome.status, outcome.error, outcome.detail) for outcome in outcomes] == [(200, "", "")] * 2
    (asked,) = proxy.asked
    assert asked.startswith(f"CONNECT teacher.example:{server.port} HTTP/1.1\r\n".encode())
    assert b"sk-canary" not in asked
    assert all(b"Proxy-Authorization" not in post.head for post in server.posts)


@both_loops
def test_an_http_server_is_asked_for_by_its_whole_address(run, monkeypatch):
    with Scripted([READ, reply(ANSWER)] * 2 + [WAIT]) as server, Proxy(USER) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"{KNOWN}127.0.0.1:{proxy.server.port}")
        outcomes = run(sends(f"http://teacher.example:{server.port}/v1", 2))
    assert [(outcome.status, outcome.error, outcome.detail) for outcome in outcomes] == [(200, "", "")] * 2
    (asked,) = proxy.asked
    assert asked.startswith(f"POST http://teacher.example:{server.port}/v1/chat/completions HTTP/1.1\r\n".encode())


@both_loops
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_one_sentence_and_nothing_has_been_paid_for(run, scheme, monkeypatch):
    with Proxy("Basic other") as proxy:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://user:secret@127.0.0.1:{proxy.server.port}")
        (outcome,) = run(sends(f"{scheme}://teacher.example:8000/v1"))
    assert (outcome.error, outcome.written) == ("connect", False)
    assert f"the proxy 127.0.0.1:{proxy.server.port} refused the connection to teacher.example:8000" in outcome.detail
    assert "secret" not in repr(outcome)


@both_loops
@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x" * 20_000])
def test_a_proxy_that_speaks_no_http_is_one_sentence(run, said, monkeypatch):
    with Scripted([lambda connection: connection.recv(65536), said]) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        (outcome,) = run(sends("https://teacher.example/v1"))
    assert (outcome.error, outcome.written) == ("connect", False)
    assert outcome.detail.startswith(f"the proxy 127.0.0.1:{proxy.port} refused the connection to teacher.example:443")


@pytest.mark.parametrize("proxy", ["socks5://user:secret@127.0.0.1:1080", "https://user:secret@p", "http://p:secret"])
def test_a_proxy_of_another_kind_is_refused_without_its_password(proxy, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(Fatal, match="is not an HTTP proxy") as raised:
        asyncio.run(sends("https://teacher.example/v1"))
    assert "secret" not in str(raised.value)


def test_a_proxy_password_is_in_no_repr(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://{KNOWN}p.example:3128")
    origin = origin_of("https://teacher.example/v1")
    assert origin.proxy is not None
    assert origin.proxy.authorization == USER
    assert USER not in repr(origin)


# ---- addresses that are not asked


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "[FD00:EC2:0:0::254]", "[::ffff:169.254.169.254]"],
)
def test_a_link_local_address_is_refused_in_a_recipe(host):
    with pytest.raises(ValueError, match="link-local"):
        Endpoint(model="m", base_url=f"http://{host}/v1")


@both_loops
def test_a_link_local_address_is_refused_however_it_is_written(run):
    for host in ("2852039166", "0xa9fea9fe"):  # 169.254.169.254, as a C library reads it
        (outcome,) = run(sends(f"http://{host}/v1", deadline_s=5.0))
        assert (outcome.error, outcome.written) == ("connect", False)
        assert "link-local" in outcome.detail


def test_a_name_that_means_a_link_local_address_is_refused(names):
    known, _ = names
    known["teacher.example"] = ["169.254.169.254"]
    (outcome,) = asyncio.run(sends("http://teacher.example/v1"))
    assert (outcome.error, outcome.written) == ("connect", False)
    assert "link-local" in outcome.detail


@pytest.mark.parametrize("url", ["http://api.example.com/v1", "http://8.8.8.8/v1"])
def test_a_key_never_crosses_the_network_in_clear(url):
    with pytest.raises(ValueError, match="in clear"):
        Endpoint(model="m", base_url=url, key_variable="SOME_KEY")
    Endpoint(model="m", base_url=url.replace("http:", "https:"), key_variable="SOME_KEY")
    Endpoint(model="m", base_url=url)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "10.1.2.3", "gpu7", "gpu.internal", "[::1]", "[fd12::1]"])
def test_a_key_may_go_to_a_server_of_ones_own(host):
    Endpoint(model="m", base_url=f"http://{host}:8000/v1", key_variable="SOME_KEY")


@pytest.mark.parametrize("key", ["sk-a\r\nX-Evil: 1", "sk-日本", "sk-\x00"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key, monkeypatch):
    if "\x00" not in key:
        monkeypatch.setenv("SOME_KEY", key)
    else:
        monkeypatch.setattr(Endpoint, "key", lambda self: key)

    async def main():
        endpoint = Endpoint(model="m", base_url="http://127.0.0.1:9/v1", key_variable="SOME_KEY")
        async with online(endpoint, endpoint.base_url):
            pass

    with pytest.raises(Fatal, match="SOME_KEY") as raised:
        asyncio.run(main())
    assert "sk-" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://api.example.com/v1", "api.example.com", "/v1"),
        ("https://api.example.com:443/v1", "api.example.com", "/v1"),
        ("http://api.example.com:443/v1", "api.example.com:443", "/v1"),
        ("https://例え.テスト/モデル/v1", "xn--r8jz45g.xn--zckzah", "/%E3%83%A2%E3%83%87%E3%83%AB/v1"),
        ("http://[::1]:8000/v1", "[::1]:8000", "/v1"),
        ("https://a.example/v1 x/%20y", "a.example", "/v1%20x/%20y"),
        ("http://a.example", "a.example", ""),
    ],
)
def test_hosts_and_paths_are_written_as_the_wire_wants_them(url, authority, path):
    origin = origin_of(url)
    assert (origin.authority, origin.path) == (authority, path)


@pytest.mark.parametrize("host", ["a..example", "x" * 64 + ".example"])
def test_a_host_that_is_no_name_is_one_sentence(host):
    with pytest.raises(Fatal, match="is not the name of a host"):
        origin_of(f"https://{host}/v1")


def test_names_are_looked_up_again_after_a_while(names, monkeypatch):
    monkeypatch.setattr(dial, "NAMES_KEPT_S", -1.0)
    known, asked = names
    known["teacher.example"] = ["127.0.0.1"]
    with Scripted([READ, reply(ANSWER, "Connection: close")]) as server:
        asyncio.run(sends(f"http://teacher.example:{server.port}/v1", 2))
    assert len(asked) == 2


@both_loops
def test_each_of_many_requests_has_its_own_deadline_and_a_late_one_takes_no_other_with_it(run):
    async def main(url):
        async with online(Endpoint(model="m", base_url=url, limits=Limits(deadline_s=0.5)), url) as backend:

            async def sent(after_s: float):
                await asyncio.sleep(after_s)
                return await backend.send(request())

            return await asyncio.gather(*(sent(after_s) for after_s in (0.0, 0.2, 0.3)))

    with Scripted([READ, WAIT], [READ, 0.4, reply(ANSWER)], [READ, WAIT]) as server:
        first, second, third = run(main(server.url))
    assert [first.error, second.error, third.error] == ["timeout", "", "timeout"]
    assert all(0.49 <= late.seconds < 0.8 for late in (first, third))
    assert second.body == ANSWER
