"""A fault server of its own process that keeps its own books: what it answered in full was paid.

    python tests/crash/server.py

Prints its port. `POST /<book>/v1/chat/completions` answers as the practice teacher does, late by a little that depends
on the request; the first arrival of some requests meets a 429 or a cut in the middle of the body. `GET /<book>` gives
the book as JSON: how often each body (SHA-256) was answered in full, a body for several choices as one for each;
`GET /<book>/arrived` how often it arrived. A book called `slow8-...` answers 8 s late.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, defaultdict

import orjson

from synth.backends.practice.answering import say
from synth.backends.practice.faults import USUAL

FAULTS = USUAL.model_copy(update={"latency_s": 0.0})
REFUSED_OF_256 = 3
CUT_OF_256 = 1


def singles(body: bytes) -> list[bytes]:
    """The requests for one choice each that a request for several stands for, as vLLM seeds them."""
    request = orjson.loads(body)
    number = request.get("n", 1)
    if number == 1:
        return [body]
    seed, one = request["seed"], body.removesuffix(b',"n":%d}' % number) + b"}"
    return [one.replace(b'"seed":%d' % seed, b'"seed":%d' % (seed + place)) for place in range(number)]


class Books:
    """Answers by body, and for each book what arrived and what was paid."""

    def __init__(self) -> None:
        self.arrived: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.paid: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._answers: dict[str, bytes] = {}

    def answer(self, digest: str, body: bytes) -> bytes:
        if digest not in self._answers:
            spoken = [say(orjson.loads(one), FAULTS) for one in singles(body)]
            choices = [
                {
                    "index": place,
                    "message": {"role": "assistant", "content": said.content},
                    "finish_reason": said.finish_reason,
                }
                for place, said in enumerate(spoken)
            ]
            written = sum(len(said.content) // 4 + 1 for said in spoken)
            self._answers[digest] = orjson.dumps(
                {
                    "id": digest[:12],
                    "object": "chat.completion",
                    "model": orjson.loads(body)["model"],
                    "choices": choices,
                    "usage": {"prompt_tokens": len(singles(body)[0]) // 4, "completion_tokens": written},
                }
            )
        return self._answers[digest]


class Connection(asyncio.Protocol):
    """Just enough HTTP/1.1 for one client: requests one after another, with a Content-Length."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        lines = head.decode("latin-1").split("\r\n")
        length = sum(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:"))
        if len(rest) < length:
            return
        body, self._buffer = rest[:length], rest[length:]
        book = lines[0].split()[1].split("/")[1]
        if lines[0].startswith("GET"):
            asked = self._books.arrived if b"/arrived" in head else self._books.paid
            self._say(200, orjson.dumps(asked[book]))
            return
        digest = hashlib.sha256(body).hexdigest()
        self._books.arrived[book][digest] += 1
        late_s = (
            0.002
            + 0.02 * int(digest[2:4], 16) / 256
            + (int(book[4:].partition("-")[0]) if book.startswith("slow") else 0)
        )
        asyncio.get_running_loop().call_later(late_s, self._chat, book, digest, body)

    def _chat(self, book: str, digest: str, body: bytes) -> None:
        dice = int(digest[:2], 16) if self._books.arrived[book][digest] == 1 else 255
        if dice < REFUSED_OF_256:
            error = orjson.dumps({"error": {"message": "slower, please", "code": "rate_limit_exceeded"}})
            self._say(429, error, b"retry-after-ms: 5\r\n")
            return
        answer = self._books.answer(digest, body)
        if dice < REFUSED_OF_256 + CUT_OF_256:
            self._say(200, answer, cut=True)
            return
        for one in singles(body):  # whether or not the client lives to read it
            self._books.paid[book][hashlib.sha256(one).hexdigest()] += 1
        self._say(200, answer)

    def _say(self, status: int, body: bytes, more: bytes = b"", *, cut: bool = False) -> None:
        if self._transport.is_closing():
            return
        head = b"HTTP/1.1 %d -\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n"
        self._transport.write(head % (status, more, len(body)) + (body[: len(body) // 2] if cut else body))
        if cut:
            self._transport.close()


async def main() -> None:
    books = Books()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(books), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
