"""The transport faults of `reliability.md` section 6 that concern one send, by their numbers.

Numbers 1 and 2 are shown here at the level of outcomes, and in test_endpoint.py at that of a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import gzip
import itertools
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
import zstandard

from synth.backends import wire
from synth.backends.online import online
from synth.errors import Rejected, Transient
from synth.protocol.endpoint import Endpoint, Limits
from synth.protocol.replies import read
from tests.faults.scripted import (
    ANSWER,
    CHUNKED,
    READ,
    RESET,
    WAIT,
    Scripted,
    both_loops,
    chunk,
    reply,
    request,
    sends,
)

FOR_EVER = itertools.cycle
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
EARLY_S = 0.01
"""A timer of uvloop counts whole milliseconds."""
LATE_S = 2.0
"""How much later than its time a deadline may be seen on a busy machine: the servers here would go on for longer."""
THREE_REPLIES_MB = 3 * wire.LARGEST_REPLY // 2**20


@contextlib.contextmanager
def grown_by_less_than(megabytes: float) -> Iterator[None]:
    """This process has at no moment more than so much resident memory above what it had; only Linux tells."""

    def resident_mb(name: str) -> float:
        status = Path("/proc/self/status").read_text()
        return int(status.split(f"{name}:")[1].split()[0]) / 1024

    if sys.platform != "linux":
        yield
        return
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the highest is counted from now
    before = resident_mb("VmRSS")
    yield
    assert resident_mb("VmHWM") - before < megabytes


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


@both_loops
def test_fault_01_a_refused_connection_has_not_been_paid_for_and_a_server_that_comes_up_is_found(run):
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"

    async def main():
        async with online(Endpoint(model="m", base_url=url), url) as backend:
            refused = [await backend.send(request()) for _ in range(200)]
            with Scripted([READ, reply(ANSWER)], port=port):
                return refused, await backend.send(request())

    refused, answered = run(main())
    assert {(outcome.error, outcome.written, outcome.status) for outcome in refused} == {("connect", False, 0)}
    assert (answered.status, answered.body, answered.error) == (200, ANSWER, "")


def test_fault_02_a_name_that_is_not_found_has_not_been_paid_for_and_is_found_later(monkeypatch):
    working = socket.getaddrinfo
    down = True

    def getaddrinfo(host, *arguments, **named):
        if host == "teacher.example" and down:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return working("127.0.0.1" if host == "teacher.example" else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("synth.backends.dial.FAILED_NAMES_KEPT_S", 0.01)

    async def main():
        nonlocal down
        with Scripted([READ, reply(ANSWER)]) as server:
            url = f"http://teacher.example:{server.port}/v1"
            async with online(Endpoint(model="m", base_url=url), url) as backend:
                lost = await backend.send(request())
                down = False
                await asyncio.sleep(0.02)
                return lost, await backend.send(request())

    lost, found = asyncio.run(main())
    assert (lost.error, lost.written) == ("connect", False)
    assert "teacher.example cannot be found (Temporary failure in name resolution)" in lost.detail
    assert (found.status, found.error) == (200, "")


def test_fault_54_memory_refused_to_a_look_up_is_not_taken_for_a_server_out_of_reach(monkeypatch):
    def getaddrinfo(*_, **__):
        raise socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(MemoryError):
        asyncio.run(sends("http://teacher.example:1/v1"))


@both_loops
def test_fault_03_a_server_that_never_answers_ends_by_the_deadline_and_may_have_been_paid(run):
    with Scripted([READ, WAIT]) as server:
        (outcome,) = run(sends(server.url, deadline_s=0.2))
    assert (outcome.error, outcome.written, outcome.status) == ("timeout", True, 0)
    assert 0.2 - EARLY_S <= outcome.seconds < 0.2 + LATE_S
    assert len(server.posts) == 1


@both_loops
@pytest.mark.parametrize("script", [[0.05, RESET], [0.05]], ids=["reset", "closed"])
def test_fault_04_a_connection_cut_before_the_whole_request_was_written_has_not_been_paid_for(run, script):
    with Scripted(script) as server:
        (outcome,) = run(sends(server.url, body=b"x" * 30_000_000))
    assert (outcome.error, outcome.written, outcome.status) == ("reset", False, 0)
    assert server.posts == []


@both_loops
@pytest.mark.parametrize("script", [[READ, RESET], [READ]], ids=["reset", "closed"])
def test_fault_05_a_connection_cut_after_the_request_and_before_an_answer_may_have_been_paid(run, script):
    with Scripted(script) as server:
        (outcome,) = run(sends(server.url))
    assert (outcome.error, outcome.written, outcome.status) == ("reset", True, 0)
    assert len(server.posts) == 1, "nothing is sent again by the transport"


@both_loops
@pytest.mark.parametrize(
    ("head", "part", "kept"),
    [
        (HEAD, b'{"choices', b'{"choices'),
        (HEAD, b"", b""),
        (CHUNKED, chunk(b'{"cho') + chunk(b"ices"), b'{"choices'),
        (CHUNKED, chunk(b'{"cho') + b"9\r\nices", b'{"choices'),
        (CHUNKED, chunk("答え".encode()), "答え".encode()),
    ],
    ids=["length", "headers only", "between chunks", "inside a chunk", "japanese"],
)
@pytest.mark.parametrize("cut", [RESET, 0.0], ids=["reset", "closed"])
def test_fault_06_a_reply_cut_in_the_middle_keeps_status_headers_and_what_came(run, head, part, kept, cut):
    with Scripted([READ, head + part, 0.02, cut]) as server:
        (outcome,) = run(sends(server.url))
    assert (outcome.error, outcome.written, outcome.status) == ("reset", True, 200)
    assert outcome.body == kept
    assert outcome.headers["content-type"] == "application/json"
    assert "middle of its reply" in outcome.detail
    assert len(server.posts) == 1


@both_loops
@pytest.mark.parametrize("start", [HEAD, CHUNKED, b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["length", "chunked", "header"])
def test_fault_07_one_byte_at_a_time_for_ever_ends_by_the_deadline(run, start):
    trickle = b"1\r\n \r\n" if start == CHUNKED else b" "

    def script():
        yield READ
        yield start
        for _ in range(98):  # fewer than the length that was promised
            yield 0.05
            yield trickle
        yield WAIT

    with Scripted(script) as server:
        (outcome,) = run(sends(server.url, deadline_s=0.3))
    assert (outcome.error, outcome.written) == ("timeout", True)
    assert 0.3 - EARLY_S <= outcome.seconds < 0.3 + LATE_S
    assert len(server.posts) == 1


@both_loops
def test_fault_08_blank_lines_while_the_server_queues_and_then_the_answer_are_one_reply(run):
    def script():
        yield READ
        yield CHUNKED
        for _ in range(50):
            yield 0.002
            yield chunk(b"\n")
        yield chunk(ANSWER) + chunk(b"")
        yield WAIT

    with Scripted(script) as server:
        (outcome,) = run(sends(server.url))
    assert outcome.error == ""
    assert read(outcome).text == "東京"
    assert len(server.posts) == 1


@both_loops
def test_fault_12_a_connection_closed_while_it_was_kept_is_replaced_without_a_word(run):
    with Scripted([READ, reply(ANSWER)]) as server:
        url = server.url

        async def main():
            async with online(Endpoint(model="m", base_url=url), url) as backend:
                noticed = [await backend.send(request())]
                await asyncio.sleep(0.1)
                noticed.append(await backend.send(request()))
                time.sleep(0.1)  # noqa: ASYNC251 (the close arrives while the loop is busy and has not told us)
                return [*noticed, await backend.send(request())]

        outcomes = run(main())
    assert [(outcome.status, outcome.error, outcome.written) for outcome in outcomes] == [(200, "", True)] * 3
    assert (len(server.posts), server.connections) == (3, 3)


@both_loops
def test_fault_12_a_kept_connection_cut_after_the_request_was_written_may_have_been_paid(run):
    with Scripted([READ, reply(ANSWER), READ, RESET], [READ, reply(ANSWER)]) as server:
        first, second = run(sends(server.url, 2))
    assert (first.status, first.error) == (200, "")
    assert (second.error, second.written) == ("reset", True)
    assert (len(server.posts), server.connections) == (2, 1), "it is not sent again by the transport"


def tls_server(authority: trustme.CA, *names: str, **named) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert(*names, **named).configure_cert(context)
    return context


@both_loops
@pytest.mark.parametrize("wrong", ["expired", "host", "self-signed"])
def test_fault_13_a_certificate_that_is_not_to_be_trusted_gets_no_byte_of_the_request(
    run, wrong, tmp_path, monkeypatch
):
    known, unknown = trustme.CA(), trustme.CA()
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    context = {
        "expired": lambda: tls_server(known, "127.0.0.1", not_after=yesterday),
        "host": lambda: tls_server(known, "other.example"),
        "self-signed": lambda: tls_server(unknown, "127.0.0.1"),
    }[wrong]()
    known.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with Scripted([READ, reply(ANSWER)], tls=context) as server:
        (outcome,) = run(sends(server.url))
    assert (outcome.error, outcome.written, outcome.status) == ("tls", False, 0)
    assert "127.0.0.1" in outcome.detail
    assert (server.posts, server.received) == ([], 0)


@both_loops
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
@pytest.mark.parametrize("same_host", [True, False])
def test_fault_14_a_redirect_is_an_outcome_and_the_key_goes_nowhere(run, status, same_host, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-canary")
    with Scripted([READ, reply(ANSWER)]) as other, Scripted([WAIT]) as unused:
        del unused
        target = "/elsewhere" if same_host else f"{other.url}/chat/completions"
        with Scripted([READ, reply(b"", f"Location: {target}", status=status), READ, WAIT]) as server:

            async def main():
                endpoint = Endpoint(
                    model="m", base_url=server.url, key_variable="SOME_KEY", limits=Limits(deadline_s=9)
                )
                async with online(endpoint, server.url) as backend:
                    return await backend.send(request())

            outcome = run(main())
    assert (outcome.status, outcome.error, outcome.headers["location"]) == (int(status[:3]), "", target)
    assert (len(server.posts), other.posts, other.connections) == (1, [], 0)


@both_loops
def test_fault_15_five_thousand_cancelled_requests_leave_nothing_behind_and_the_next_fifty_succeed(run):
    def script():
        for number in itertools.count():
            yield READ
            yield 0.0 if number % 3 else 0.003
            yield reply(ANSWER)

    async def main(url):
        async with online(Endpoint(model="m", base_url=url), url) as backend:
            cancelled = 0
            for round_ in itertools.count():
                if cancelled >= 5000:
                    break
                tasks = [asyncio.ensure_future(backend.send(request())) for _ in range(100)]
                for _ in range(round_ % 7):  # at every stage: not begun, connecting, written, answered in part
                    await asyncio.sleep(0.0005 * (round_ % 3))
                for task in tasks:
                    cancelled += task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for _ in range(100):
                await asyncio.sleep(0)
            busy = [each for each in backend.standing if each not in backend._idle]
            outcomes = await asyncio.gather(*(backend.send(request()) for _ in range(50)))
            return busy, outcomes, len(asyncio.all_tasks())

    before = open_files()
    with Scripted(script) as server:
        busy, outcomes, tasks = run(main(server.url))
    assert open_files() <= before + 2
    assert busy == []
    assert [(outcome.status, outcome.body) for outcome in outcomes] == [(200, ANSWER)] * 50
    assert tasks == 1


FEW_FILES = """
import resource
from synth.cli import main
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
main()
"""
MANY_RECIPE = """\
name: many
language: en
seeds: {kind: jsonl, path: seeds.jsonl}
teachers: {main: {model: practice-1, base_url: "practice:faultless", limits: {max_in_flight: 2000}}}
stages:
  - name: answer
    generator: {kind: answer, prompt: ask.md.j2}
    validators: []
"""


def test_fault_16_with_256_descriptors_and_2000_in_flight_the_run_is_lowered_and_says_so(tmp_path):
    (tmp_path / "recipe.yaml").write_text(MANY_RECIPE)
    (tmp_path / "ask.md.j2").write_text("{{ q }}")
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps({"q": f"What is {n} + 1?"}) + "\n" for n in range(600)))
    done = subprocess.run(
        [sys.executable, "-c", FEW_FILES, "run", str(tmp_path), "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert done.returncode == 0, done.stderr
    said = re.search(
        r"This process may open 256 files, so (\d+) requests go out at once in place of 4000;", done.stderr
    )
    assert said is not None
    assert 64 < int(said[1]) < 192  # both ends of each are in this process
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert {row["failure"] for row in manifest["ledger"]} == {"ok"}
    assert "Too many open files" not in done.stderr


RAISED = """
import resource
from synth.backends.descriptors import usable_in_flight
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))
print(usable_in_flight(2000), resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 2064)
"""


def test_fault_16_a_low_soft_limit_is_raised_without_a_word():
    done = subprocess.run([sys.executable, "-c", RAISED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "(2000, '') True\n"


@both_loops
def test_fault_17_ten_thousand_requests_500_at_once_leave_no_task_no_connection_and_no_memory(run):
    """A tenth of a hundred thousand, and a tenth of the 50 MB that those may leave. How late the loop is depends on the
    machine: tests/bench/lag.py tells."""
    asked = request()
    standing_there = set()

    class Answering(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            standing_there.add(self)

        def data_received(self, data):
            if data.endswith(asked.body):
                self.transport.write(reply(ANSWER))

        def connection_lost(self, exc):
            standing_there.discard(self)

    async def main():
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=1024)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with online(Endpoint(model="m", base_url=url), url) as backend:

            async def one_after_another(times):
                for _ in range(times):
                    assert (await backend.send(asked)).body == ANSWER

            async def five_hundred(times):
                await asyncio.gather(*(one_after_another(times) for _ in range(500)))

            await five_hundred(4)
            with grown_by_less_than(5):
                await five_hundred(20)
            counts = len(backend.standing), len(standing_there), len(asyncio.all_tasks())
        while standing_there:
            await asyncio.sleep(0.01)
        server.close()
        await server.wait_closed()
        return counts

    here, there, tasks = run(main())
    assert here <= 500
    assert there <= 500
    assert tasks == 1


@both_loops
def test_fault_22_fifty_megabytes_are_accepted(run):
    with Scripted([READ, reply(b"x" * 50_000_000)]) as server, grown_by_less_than(THREE_REPLIES_MB):
        (outcome,) = run(sends(server.url))
    assert (outcome.status, outcome.error, len(outcome.body)) == (200, "", 50_000_000)


@both_loops
@pytest.mark.parametrize("how", ["length", "chunked", "until closed"])
def test_fault_22_one_byte_more_than_64_megabytes_is_cut_off_and_may_have_been_paid(run, how):
    piece = b"x" * 1024 * 1024
    head = {
        "length": f"HTTP/1.1 200 OK\r\nContent-Length: {64 * 1024 * 1024 + 1}\r\n\r\n".encode(),
        "chunked": CHUNKED,
        "until closed": b"HTTP/1.1 200 OK\r\n\r\n",
    }[how]
    shown = chunk(piece) if how == "chunked" else piece
    last = chunk(b"x") + chunk(b"") if how == "chunked" else b"x"
    with Scripted([READ, head, *[shown] * 64, last, WAIT]) as server, grown_by_less_than(THREE_REPLIES_MB):
        (outcome,) = run(sends(server.url))
    assert (outcome.error, outcome.written, outcome.status) == ("too_large", True, 200)
    assert len(outcome.body) <= wire.LARGEST_EVIDENCE
    assert "64 MB" in outcome.detail


@both_loops
def test_fault_23_a_compression_bomb_is_cut_off_at_the_cap_and_never_unpacked_on_the_loop(run, monkeypatch):
    threads = []
    unpack = wire._unpacked

    def watched(body, encoding):
        threads.append(threading.current_thread())
        return unpack(body, encoding)

    monkeypatch.setattr(wire, "_unpacked", watched)
    bomb = zlib.compressobj(1, wbits=31)
    packed = b"".join(bomb.compress(bytes(1024 * 1024)) for _ in range(400)) + bomb.flush()
    with Scripted([READ, reply(packed, "Content-Encoding: gzip")]) as server, grown_by_less_than(THREE_REPLIES_MB):
        (outcome,) = run(sends(server.url))
    assert (outcome.error, outcome.written) == ("too_large", True)
    assert len(outcome.body) <= wire.LARGEST_EVIDENCE
    assert threads
    assert threading.main_thread() not in threads


@both_loops
def test_fault_23_a_bomb_in_an_encoding_that_is_never_unpacked_stays_as_small_as_it_came(run):
    """zstd, and br for the same reason: both were asked not to be used, and no reader here knows them."""
    bomb = zstandard.ZstdCompressor().compressobj()
    packed = b"".join(bomb.compress(bytes(1024 * 1024)) for _ in range(400)) + bomb.flush()
    with Scripted([READ, reply(packed, "Content-Encoding: zstd")]) as server, grown_by_less_than(20):
        (outcome,) = run(sends(server.url))
    assert (outcome.error, outcome.body) == ("", packed)
    with pytest.raises(Transient):
        read(outcome)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("br", b"\x1b\x0e\x00\xf8"),
        ("zstd", b"\x28\xb5\x2f\xfd\x04\x00"),
        ("gzip", gzip.compress(ANSWER)[:-9]),
        ("gzip", b"no gzip"),
        ("gzip, gzip", gzip.compress(gzip.compress(ANSWER))),
    ],
    ids=["br", "zstd", "cut", "wrong", "twice"],
)
def test_fault_23_what_cannot_be_unpacked_is_kept_as_it_came_and_malformed(encoding, packed):
    with Scripted([READ, reply(packed, f"Content-Encoding: {encoding}")]) as server:
        (outcome,) = asyncio.run(sends(server.url))
    assert (outcome.error, outcome.body) == ("", packed)
    assert outcome.headers["content-encoding"] == encoding
    with pytest.raises(Transient) as raised:
        read(outcome)
    assert raised.value.failure == "malformed"
    assert not isinstance(raised.value, Rejected)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_fault_23_a_reply_that_was_compressed_unasked_is_unpacked(pack):
    encoding = "gzip" if pack is gzip.compress else "deflate"
    with Scripted([READ, reply(pack(ANSWER), f"Content-Encoding: {encoding}")]) as server:
        (outcome,) = asyncio.run(sends(server.url))
    assert read(outcome).text == "東京"
    assert "content-encoding" not in outcome.headers


@both_loops
def test_fault_46_a_deadline_that_passed_while_the_process_was_stopped_is_given_a_little_more(run):
    async def main(url):
        async with online(Endpoint(model="m", base_url=url, limits=Limits(deadline_s=0.3)), url) as backend:
            sending = asyncio.create_task(backend.send(request()))
            while not server.posts:
                await asyncio.sleep(0.001)
            time.sleep(1.5)  # noqa: ASYNC251 (nothing of this process runs)
            return await sending

    with Scripted([READ, 2.0, reply(ANSWER)]) as server:
        outcome = run(main(server.url))
    assert (outcome.error, outcome.body) == ("", ANSWER)
    with Scripted([READ, WAIT]) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "GRACE_S", 0.1)
        assert run(main(server.url)).error == "timeout"
