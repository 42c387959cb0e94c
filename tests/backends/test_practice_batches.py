"""Files and batches of the practice teacher: driven by OpenAI's own client, and held against OpenAI's description."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from synth.backends.practice.faults import NO_FAULTS, Faults
from synth.backends.practice.server import practice_server

openai = pytest.importorskip("openai")

CONTRACT = Path(__file__).parents[3] / "shared" / "contract" / "openai_subset.json"
QUESTIONS = [
    f"バスが大阪市を出て、時速{speed}kmで3時間走りました。進んだ道のりは何kmですか。" for speed in range(40, 60)
]


def line(name: str, question: str, **more) -> bytes:
    body = {"model": "practice-1", "messages": [{"role": "user", "content": question}], **more}
    whole = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(whole, ensure_ascii=False).encode() + b"\n"


FILE = b"".join(line(f"問{number}", question) for number, question in enumerate(QUESTIONS))


def drive(work, faults: Faults = NO_FAULTS, key: str = "sk-right"):
    """What `work` gives, which is called with the official client of a practice server."""

    async def driven():
        async with (
            practice_server(faults, api_key="sk-right") as base_url,
            openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client,
        ):
            return await work(client)

    return asyncio.run(driven())


async def ordered(client, content: bytes = FILE, **more):
    file = await client.files.create(file=("in.jsonl", content), purpose="batch")
    asked = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **more}
    return await client.batches.create(input_file_id=file.id, **asked)


async def ended(client, batch):
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        await asyncio.sleep(0.01)
        batch = await client.batches.retrieve(batch.id)
    return batch


async def rows(client, place: str | None) -> list[dict]:
    if place is None:
        return []
    content = (await client.files.content(place)).content
    return [json.loads(one) for one in content.split(b"\n") if one]


def test_the_official_client_uploads_orders_waits_and_collects():
    async def work(client):
        batch = await ordered(client, metadata={"synth": "名前"})
        assert (batch.status, batch.metadata) == ("validating", {"synth": "名前"})
        batch = await ended(client, batch)
        assert batch.status == "completed"
        assert (batch.request_counts.total, batch.request_counts.completed) == (20, 20)
        found = await rows(client, batch.output_file_id)
        assert [one["custom_id"] for one in found] != [f"問{number}" for number in range(20)]  # in another order
        told = {one["custom_id"]: one["response"]["body"]["choices"][0]["message"]["content"] for one in found}
        assert all(f"{3 * speed}km" in told[f"問{speed - 40}"] for speed in range(40, 60))

    drive(work)


def test_files_and_batches_are_listed_page_by_page_and_files_can_go():
    async def work(client):
        batches = [await ordered(client) for _ in range(5)]
        assert [one.id async for one in client.batches.list(limit=2)] == [one.id for one in reversed(batches)]
        files = [one async for one in client.files.list(purpose="batch", limit=2)]
        assert [one.filename for one in files] == ["in.jsonl"] * 5
        assert (await client.files.retrieve(files[0].id)).bytes == len(FILE)
        assert (await client.files.delete(files[0].id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.files.content(files[0].id)
        with pytest.raises(openai.NotFoundError):
            await client.batches.retrieve("batch_none")

    drive(work)


def test_a_cancelled_batch_tells_what_was_not_worked_on_and_one_that_ended_cannot_be_cancelled():
    async def work(client):
        batch = await ordered(client)
        assert (await client.batches.cancel(batch.id)).status == "cancelling"
        batch = await ended(client, batch)
        assert batch.status == "cancelled"
        assert {one["error"]["code"] for one in await rows(client, batch.error_file_id)} == {"batch_cancelled"}
        with pytest.raises(openai.ConflictError):
            await client.batches.cancel(batch.id)

    drive(work)


def test_injected_faults_leave_rows_out_repeat_them_and_let_batches_expire():
    faults = Faults(batch_missing=0.2, batch_no_status=0.2, batch_repeated=0.2, batch_s=0.0)

    async def work(client):
        seen, codes = Counter(), Counter()
        for _ in range(5):
            batch = await ended(client, await ordered(client))
            some = [*await rows(client, batch.output_file_id), *await rows(client, batch.error_file_id)]
            seen.update(Counter(one["custom_id"] for one in some).values())
            seen[0] += 20 - len({one["custom_id"] for one in some})
            codes.update(one["response"]["status_code"] for one in some)
        assert seen.keys() == {0, 1, 2}
        assert codes.keys() == {0, 200}

    drive(work, faults)

    async def expiring(client):
        batch = await ended(client, await ordered(client))
        assert batch.status == "expired"
        undone = await rows(client, batch.error_file_id)
        assert {one["error"]["code"] for one in undone} == {"batch_expired"}
        assert len(undone) + len(await rows(client, batch.output_file_id)) == 20

    drive(expiring, Faults(batch_expiry=1.0, batch_s=0.0))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{\n", "invalid_json_line"),
        (b"", "invalid_request"),
        (line("a", "x") + line("a", "y"), "duplicate_custom_id"),
        (line("a", "x") + line("b", "y").replace(b"practice-1", b"another"), "mismatched_model"),
        (line("a", "x").replace(b"/v1/chat/completions", b"/v1/embeddings"), "mismatched_url"),
    ],
)
def test_a_file_that_is_wrong_fails_as_a_whole(content, code):
    async def work(client):
        batch = await ended(client, await ordered(client, content))
        assert (batch.status, batch.errors.data[0].code) == ("failed", code)

    drive(work)


def test_a_wrong_request_in_a_right_file_has_its_own_error():
    async def work(client):
        batch = await ended(client, await ordered(client, line("a", QUESTIONS[0], n=200) + line("b", QUESTIONS[1])))
        assert batch.status == "completed"
        (wrong,) = await rows(client, batch.error_file_id)
        assert (wrong["custom_id"], wrong["response"]["status_code"]) == ("a", 400)
        assert [one["custom_id"] for one in await rows(client, batch.output_file_id)] == ["b"]

    drive(work)


def test_a_wrong_key_window_file_or_endpoint_is_refused():
    async def work(client):
        for more in ({"completion_window": "1h"}, {"endpoint": "/v1/none"}, {"input_file_id": "file-none"}):
            asked = {"input_file_id": "file-none", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
            with pytest.raises(openai.BadRequestError):
                await client.batches.create(**{**asked, **more})

    drive(work)

    async def locked(client):
        with pytest.raises(openai.AuthenticationError):
            await client.batches.list()

    drive(locked, key="sk-wrong")


@pytest.mark.skipif(not CONTRACT.exists(), reason=f"OpenAI's description is not at {CONTRACT}")
def test_requests_and_replies_fit_openais_description():
    jsonschema = pytest.importorskip("jsonschema")
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))

    def check(value: object, name: str) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": contract["components"]}
        jsonschema.Draft202012Validator(schema).validate(value)

    async def work(client):
        raw = client.with_raw_response
        file = json.loads((await raw.files.create(file=("in.jsonl", FILE), purpose="batch")).content)
        check(file, "OpenAIFile")
        check(json.loads((await raw.files.list()).content), "ListFilesResponse")
        for content in (FILE, b"{\n"):
            batch = await ended(client, await ordered(client, content, metadata={"synth": "x"}))
            check(json.loads((await raw.batches.retrieve(batch.id)).content), "Batch")
        check(json.loads((await raw.batches.list()).content), "ListBatchesResponse")
        found = await rows(client, (await ended(client, await ordered(client))).output_file_id)
        check(found[0]["response"]["body"], "CreateChatCompletionResponse")
        check(json.loads((await raw.files.delete(file["id"])).content), "DeleteFileResponse")

    drive(work, NO_FAULTS.model_copy(update={"batch_s": 0.0}))
