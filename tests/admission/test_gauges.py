"""What servers tell of their load, and what is made of it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp import web

from synth.admission.gauges import figures, load_of, may_tell, page, watch
from synth.admission.lane import Lane
from synth.admission.queueing import FIRST_RAISE, QUEUED, STEADY, Load, Told
from synth.backends.fetch import fetched
from synth.profiles import named
from synth.protocol.endpoint import Endpoint, Limits

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="日本語 モデル"} 100.0
vllm:num_requests_running{engine="1",model_name="日本語 モデル"} 28.0
vllm:num_requests_waiting{engine="0",model_name="日本語 モデル"} 3.0
vllm:num_requests_waiting{engine="1",model_name="日本語 モデル"} 4.0
vllm:kv_cache_usage_perc{engine="0",model_name="日本語 モデル"} 0.25
vllm:num_preemptions_total{engine="0",model_name="日本語 モデル"} 2.0
"""
SGLANG = """\
sglang:num_running_reqs{model_name="m",tp_rank="0"} 9.0
sglang:num_queue_reqs{model_name="m",tp_rank="0"} 1.0
sglang:token_usage{model_name="m",tp_rank="0"} 0.5
"""
LLAMA_CPP = """\
llamacpp:requests_processing 2
llamacpp:requests_deferred 5
"""


@pytest.mark.parametrize(
    ("profile", "page", "load"),
    [
        ("vllm", VLLM, Load(128, 7, 0.25, 2)),
        ("sglang", SGLANG, Load(9, 1, 0.5)),
        ("llama_cpp", LLAMA_CPP, Load(2, 5)),
    ],
)
def test_each_server_s_own_names_for_its_load_are_read_and_its_engines_added_up(profile: str, page: str, load: Load):
    gauges = named()[profile].gauges
    assert gauges is not None
    assert load_of(page, gauges) == load


def test_a_page_without_such_figures_tells_no_load():
    gauges = named()["vllm"].gauges
    assert gauges is not None
    for text in (SGLANG, "", "<html>vllm:num_requests_running</html>", "vllm:num_requests_running{} 3", "a NaN\nb x"):
        assert load_of(text, gauges) is None


def test_figures_that_are_no_numbers_are_passed_over():
    assert figures('a{b="c d"} 1\na 2\nb NaN\nc +Inf\nd x\n# e 1\n\n') == {"a": 3.0}


@pytest.mark.parametrize(
    ("base_url", "profile", "titles"),
    [
        ("http://127.0.0.1:8000/v1", "", ["SGLang", "llama.cpp", "vLLM"]),
        ("http://127.0.0.1:8000/v1", "vllm", ["vLLM"]),
        ("https://models.example.com/v1", "vllm", ["vLLM"]),
        ("http://127.0.0.1:8000/v1", "ollama", []),
        ("https://api.openai.com/v1", "", []),
        ("https://models.example.com/v1", "", []),
        ("practice:", "", []),
        ("serve:./模型", "", []),
        ("vllm:some/model", "vllm", []),
    ],
)
def test_only_servers_of_one_s_own_and_those_said_to_tell_are_asked_for_their_load(
    base_url: str, profile: str, titles: list[str]
):
    assert sorted(may_tell(Endpoint(model="m", base_url=base_url, profile=profile))) == titles


class Server:
    """Tells at /metrics whatever `page` is; nothing when that is None."""

    def __init__(self) -> None:
        self.page: str | None = VLLM
        self.asked = 0

    async def metrics(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(status=404) if self.page is None else web.Response(text=self.page)

    async def listen(self) -> tuple[web.AppRunner, Endpoint]:
        app = web.Application()
        app.router.add_get("/metrics", self.metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, Endpoint(model="m", base_url=f"http://127.0.0.1:{runner.addresses[0][1]}/v1")


def watched(pages: list[str | None]) -> tuple[Lane, list[Load | None], int]:
    """A lane whose server tells each of these in turn, what it told after each, and how often it was asked."""

    async def main() -> tuple[Lane, list[Load | None], int]:
        server = Server()
        runner, endpoint = await server.listen()
        lane = Lane(0, Limits(), lambda: 0.0, queues_silently=True)
        loads: list[Load | None] = []
        coming = iter([*pages, None])

        async def sleep(_: float) -> None:
            loads.append(lane.load)
            try:
                server.page = next(coming)
            except StopIteration:
                raise EOFError from None

        with contextlib.suppress(EOFError):
            await watch(endpoint, lane.told, sleep)
        await runner.cleanup()
        return lane, loads[1:], server.asked

    return asyncio.run(main())


def test_a_server_is_looked_at_again_and_again():
    _, loads, asked = watched([VLLM, VLLM.replace("100.0", "50.0")])
    assert [load and load.running for load in loads] == [128, 78, None]
    assert asked == 3


def test_hosts_and_paths_beyond_ascii_are_asked_too():
    assert page(Endpoint(model="m", base_url="http://推論サーバー.localhost:1/v1")) is None
    endpoint = Endpoint(model="m", base_url="http://127.0.0.1:1/日本語")
    assert fetched(endpoint, f"{endpoint.base_url}/models", 5).error == "connect"


def test_a_server_that_tells_nothing_is_looked_at_once():
    lane, _, asked = watched([None, VLLM])
    assert asked == 1
    assert lane.load is None


def test_a_server_that_died_is_looked_at_until_it_is_back():
    _, loads, _ = watched([VLLM, None, VLLM])
    assert [load and load.running for load in loads] == [128, None, 128, None]


def test_a_server_that_does_not_answer_yet_is_looked_at_again(monkeypatch):
    pages: list[str | None] = [None, None, VLLM, ""]
    monkeypatch.setattr("synth.admission.gauges.page", lambda _: pages.pop(0))
    lane = Lane(0, Limits(), lambda: 0.0, queues_silently=True)
    loads: list[Load | None] = []

    async def sleep(_: float) -> None:
        loads.append(lane.load)
        if not pages:
            raise EOFError

    with contextlib.suppress(EOFError):
        asyncio.run(watch(Endpoint(model="m", base_url="http://127.0.0.1:9/v1"), lane.told, sleep))
    assert [load and load.running for load in loads] == [None, None, None, 128, None]


def test_nobody_who_listens_is_no_mishap():
    assert page(Endpoint(model="m", base_url="http://127.0.0.1:9/v1")) is None


def grown(most: int = 512) -> Told:
    """Grown to 128 while nothing waited."""
    told = Told(16.0, most)
    while told.accepted(0.0, 0.0, 1, 1, busy=True) < 128:
        pass
    return told


def test_the_limit_grows_with_each_answer_until_some_wait():
    assert grown().accepted(0.0, 0.0, 1, 1, busy=True) == 130


def test_what_waits_steadily_is_taken_back_but_for_a_small_line():
    told = grown()
    for _ in range(STEADY):
        limit = told.look(Load(100, 28), 128)
    assert limit == pytest.approx(100 + QUEUED * 100)
    assert told.accepted(0.0, 0.0, 1, 1, busy=True) == limit  # it no longer doubles


def test_a_heap_that_waits_for_a_moment_changes_nothing():
    told = grown()
    assert told.look(Load(100, 28), 128) == 128


def test_of_what_others_sent_to_the_same_server_only_our_share_is_taken_back():
    told = grown()
    for _ in range(STEADY):
        limit = told.look(Load(100, 156), 128)
    assert limit == pytest.approx(128 - (156 - 10) / 2)


def test_where_nothing_waits_more_is_tried_step_by_step():
    told = grown()
    for _ in range(STEADY):
        told.look(Load(100, 28), 128)
    told.accepted(0.0, 0.0, 1, 1, busy=True)
    assert told.look(Load(110, 0), 110) == pytest.approx(1.05 * 110)


def test_a_limit_that_is_not_used_is_not_raised():
    told = grown()
    assert told.look(Load(10, 0), 10) == pytest.approx(FIRST_RAISE * 128)
    told.accepted(0.0, 0.0, 1, 1, busy=False)
    assert told.look(Load(10, 0), 10) == pytest.approx(FIRST_RAISE * 128)


def test_before_the_first_line_a_server_that_runs_all_it_was_sent_is_sent_more_though_it_has_not_answered_yet():
    told, limits = Told(16.0, 100), [16.0]
    while limits[-1] < 100:
        limits.append(told.look(Load(int(limits[-1]), 0), int(limits[-1])))
    assert limits == pytest.approx([16, 24, 36, 54, 81, 100])
    for _ in range(STEADY):
        told.look(Load(50, 50), 100)
    assert told.look(Load(50, 0), 55) == 55  # from then on only what was used


def test_a_full_cache_leaves_no_room_for_more_and_requests_that_were_put_back_make_for_fewer():
    told = grown()
    assert told.look(Load(128, 0, 0.99), 128) == 128
    assert told.look(Load(128, 0, 0.99, 3), 128) < 128
