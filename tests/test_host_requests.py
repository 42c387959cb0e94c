"""What goes out to a host has the fields that it documents, and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from synth.profiles import named
from synth.protocol.endpoint import Endpoint, Sampling
from synth.protocol.lots import in_one
from synth.protocol.outgoing import translation
from synth.protocol.wording import Wording
from synth.schema import response_format
from synth.scorers.judge import Verdict
from synth.types import Message, Planned

HERE = Path(__file__).parent
FIELDS = yaml.safe_load((HERE / "host_requests.yaml").read_text(encoding="utf-8"))
CONTRACT = HERE.parents[1] / "shared" / "contract" / "openai_subset.json"
PROMPT = [Message(role="system", content="短く。"), Message(role="user", content="一足す一は？")]


def sent(name: str) -> dict:
    """All that synth may send to a host of a profile: what the profile objects to is left out, as on the command line."""
    known = named()[name]
    endpoint = Endpoint(
        model="m",
        base_url="http://127.0.0.1:9/v1",
        profile=name,
        sampling=Sampling(max_tokens=99, temperature=0.5, top_p=0.9, seed=7, stop=["。"]),
        service_tier=next(iter(known.service_tiers), "flex"),
        recover=True,
    )
    fitted, _ = endpoint.filled().fitted()
    request = Wording("main", fitted).request(PROMPT, 2, response_format(Verdict, fitted.structured))
    if known.choices is not None:
        request = in_one([Planned(request, "", "")] * 2)
    translate = translation(fitted)
    return json.loads((translate(request) if translate else request).body)


def test_every_profile_has_its_fields_written_down():
    assert FIELDS.keys() == named().keys()


@pytest.mark.parametrize("name", list(FIELDS))
def test_a_host_is_sent_only_what_it_documents(name):
    body = sent(name)
    assert body.keys() - set(FIELDS[name]) == set()
    assert {"model", "messages"} <= body.keys()
    assert any(name in body for name in ("max_tokens", "max_completion_tokens"))
    assert "一足す一は？" in json.dumps(body["messages"], ensure_ascii=False)


@pytest.mark.skipif(not CONTRACT.exists(), reason="needs ../shared/contract")
def test_what_goes_to_openai_fits_its_published_description():
    schemas = json.loads(CONTRACT.read_text(encoding="utf-8"))["components"]["schemas"]
    fields: dict[str, dict] = {}

    def collect(schema):
        fields.update(schema.get("properties", {}))
        for part in schema.get("allOf", []):
            collect(schemas[part["$ref"].rpartition("/")[2]] if "$ref" in part else part)

    collect(schemas["CreateChatCompletionRequest"])
    body = sent("openai")
    assert body.keys() <= fields.keys()
    assert {"service_tier", "store", "metadata", "seed", "response_format"} <= body.keys()
    assert "max_tokens" not in body
    assert body["metadata"].keys() == {"synth"}
    assert body["n"] == 2
    assert len(body["metadata"]["synth"]) == 64
