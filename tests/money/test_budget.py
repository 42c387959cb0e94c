"""Reserved before, settled after, never above a cap; who waits goes in turn, and only who can go is woken."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from synth.admission.halt import Halt
from synth.errors import BudgetReached, Fatal, FolderError
from synth.money import budget as budget_module
from synth.money.account import Account, release, set_total, standing
from synth.money.budget import Budget, Caps, usd
from synth.storage.store import Store
from synth.types import Spend


def run(scene):
    async def bounded():
        async with asyncio.timeout(60):
            return await scene()

    return asyncio.run(bounded())


@pytest.mark.parametrize(
    ("caps", "told"),
    [
        ({"usd": 0.5}, "予算 $0.5000 に達しました。使用額は $0.4000、次のリクエストは最大 $0.2000 です。"),
        ({"tokens": 1000}, "予算の 1,000 トークンに達しました。使用済みは 900、次のリクエストは最大 200 です。"),
        ({"requests": 9}, "予算の 9 リクエストに達しました（送信済み 9）。"),
        ({"hours": 0.000001}, "予算の 1e-06 時間に達しました。"),
    ],
)
def test_a_budget_that_is_reached_says_so_in_japanese_too(caps, told):
    budget = Budget(Caps(**caps), Spend(400_000, 900, 9), clock=itertools.count().__next__)
    assert budget.refusal(Spend(200_000, 200, 1)).japanese.startswith(told)


@pytest.mark.parametrize("seed", range(20))
def test_spent_plus_reserved_stays_within_every_cap_with_500_at_once(seed):
    rng = random.Random(seed)
    most = Spend(rng.randint(1, 2_000_000), rng.randint(1, 400_000), rng.randint(1, 700))
    caps = Caps(usd=most.microusd / 1e6, tokens=most.tokens, requests=most.requests)

    async def scene():
        budget = Budget(caps, Spend(most.microusd // 4, most.tokens // 4, most.requests // 4))

        def within():
            assert budget.spent_microusd + budget.reserved_microusd <= most.microusd
            assert budget.spent_tokens + budget.reserved_tokens <= most.tokens
            assert budget.spent_requests + budget.reserved_requests <= most.requests

        async def request():
            worst = Spend(rng.randint(0, 9000), rng.randint(1, 3000), 1)
            for _ in range(rng.choice((1, 1, 3))):
                try:
                    await budget.reserve(worst, rng.choice((0, -1)))
                except BudgetReached:
                    return
                within()
                await asyncio.sleep(0)
                part = rng.random()
                budget.settle(worst, Spend(int(worst.microusd * part), int(worst.tokens * part), rng.choice((0, 1))))
                within()

        async with asyncio.TaskGroup() as group:
            for _ in range(500):
                group.create_task(request())
        assert (budget.reserved_microusd, budget.reserved_tokens, budget.reserved_requests) == (0, 0, 0)
        assert budget.waiting == 0

    run(scene)


def test_the_line_goes_by_priority_and_arrival_and_wakes_only_who_fits():
    async def scene():
        budget, gone = Budget(Caps(usd=100e-6)), []
        await budget.reserve(Spend(100))

        async def one(name, amount, priority):
            await budget.reserve(Spend(amount), priority)
            gone.append(name)

        tasks = [asyncio.create_task(one(*what)) for what in (("a", 60, 0), ("b", 10, 0), ("late", 30, -1))]
        await asyncio.sleep(0)
        assert budget.waiting == 3
        budget.settle(Spend(100), Spend(5))
        await asyncio.sleep(0)
        assert gone == ["late", "a"]
        assert budget.waiting == 1
        budget.settle(Spend(30), Spend(20))
        await asyncio.gather(*tasks)
        assert gone == ["late", "a", "b"]

    run(scene)


def test_a_cancelled_waiter_gives_its_place_and_its_sum_on():
    async def scene():
        budget = Budget(Caps(usd=10e-6))
        await budget.reserve(Spend(10))
        first, second, third = (asyncio.create_task(budget.reserve(Spend(8))) for _ in range(3))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        budget.settle(Spend(10), Spend())
        second.cancel()  # its sum was set aside in this very moment
        await third
        assert budget.reserved_microusd == 8

    run(scene)


def test_a_halt_sends_the_line_away():
    async def scene():
        budget, halt = Budget(Caps(usd=10e-6)), Halt()
        halt.tell(budget.give_up)
        await budget.reserve(Spend(10))
        waiting = [asyncio.create_task(budget.reserve(Spend(5))) for _ in range(500)]
        await asyncio.sleep(0)
        halt.throw(Fatal("stop"))
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert {str(error) for error in ended} == {"stop"}
        assert (budget.waiting, budget.reserved_microusd) == (0, 10)

    run(scene)


def test_time_spent_in_line_is_told_apart():
    now = 0.0

    async def scene():
        nonlocal now
        budget = Budget(Caps(usd=10e-6), clock=lambda: now)
        await budget.reserve(Spend(10))
        now = 5.0
        assert budget.limited_s == 0
        task = asyncio.create_task(budget.reserve(Spend(5)))
        await asyncio.sleep(0)
        now = 8.0
        assert (budget.waiting, budget.limited_s) == (1, 3.0)
        budget.settle(Spend(10), Spend(1))
        await task
        now = 100.0
        assert (budget.waiting, budget.limited_s) == (0, 3.0)

    run(scene)


@pytest.mark.parametrize(
    ("caps", "words"),
    [
        (Caps(usd=1e-6), ["$0.0000", "a higher budget"]),
        (Caps(tokens=5), ["5 tokens", "a higher budget of tokens"]),
        (Caps(requests=0), ["0 requests", "a higher budget of requests"]),
        (Caps(hours=1), ["1 h ", "Run again"]),
    ],
)
def test_each_cap_says_which_it_is_and_how_to_go_on(caps, words):
    now = 0.0

    async def scene():
        nonlocal now
        budget = Budget(caps, clock=lambda: now)
        now = 3601.0
        with pytest.raises(BudgetReached) as caught:
            await budget.reserve(Spend(10, 10, 1))
        assert caught.value.exit_code == 6
        for word in words:
            assert word in str(caught.value)

    run(scene)


def test_without_a_cap_nothing_waits():
    async def scene():
        budget = Budget()
        await budget.reserve(Spend(10**15, 10**15, 1))
        budget.settle(Spend(10**15, 10**15, 1), Spend(10**15 + 5, 1, 1))
        assert (budget.overshoot_microusd, budget.waiting) == (5, 0)

    run(scene)


def test_two_runs_lease_from_one_account_and_give_back_the_rest(tmp_path):
    path = tmp_path / "team.account"
    with pytest.raises(FolderError, match="synth account"):
        Account(path, "one", tmp_path / "a", 0)
    set_total(path, 1_000_000)
    one, two = Account(path, "one", tmp_path / "a", 0), Account(path, "two", tmp_path / "b", 0)
    assert one.lease(10, None, 0) == 125_000
    assert two.lease(900_000, None, 0) == 875_000
    assert one.lease(200_000, None, 100_000) == 125_000
    two.give_back(300_000)
    assert one.lease(200_000, None, 100_000) >= 200_000
    assert one.lease(10**9, 250_000, 100_000) == 250_000
    total, leases = standing(path)
    assert sum(lease.held_microusd for lease in leases) <= total
    one.give_back(300_000)
    assert {lease.run: lease.held_microusd for lease in standing(path)[1]} == {"one": 300_000, "two": 300_000}


def test_who_waits_in_line_asks_the_account_once_more_before_being_sent_away(tmp_path):
    path = tmp_path / "team.account"
    set_total(path, 1000)
    one, two = Account(path, "one", tmp_path / "a", 0), Account(path, "two", tmp_path / "b", 0)

    async def scene():
        budget, most = Budget(Caps(account=str(path)), account=one), Spend(600, 1, 1)
        await budget.reserve(most)
        two.lease(400, None, 0)
        waiting = asyncio.create_task(budget.reserve(Spend(300, 1, 1)))
        gone = asyncio.create_task(budget.reserve(Spend(300, 1, 1)))
        while budget.waiting < 2:
            await asyncio.sleep(0.001)
        two.give_back(0)
        budget.settle(most, most)
        await asyncio.wait_for(waiting, 20)
        assert budget.reserved_microusd == 300
        budget.settle(Spend(300, 1, 1), Spend(300, 1, 1))
        with pytest.raises(BudgetReached, match="is used up"):
            await asyncio.wait_for(gone, 20)
        assert standing(path)[1][0].held_microusd == 1000

    run(scene)


def test_a_higher_cap_of_the_run_itself_leases_for_who_waits(tmp_path):
    path = tmp_path / "team.account"
    set_total(path, 1_000_000)

    async def scene():
        budget = Budget(Caps(account=str(path), usd=0.001), account=Account(path, "one", tmp_path, 0))
        await budget.reserve(Spend(600, 1, 1))
        waiting = asyncio.create_task(budget.reserve(Spend(600, 1, 1)))
        while not budget.waiting:
            await asyncio.sleep(0.001)
        await budget.raise_to(1.0)
        await asyncio.wait_for(waiting, 20)
        assert budget.reserved_microusd == 1200

    run(scene)


def test_what_a_dead_run_holds_comes_back_when_it_goes_on_or_is_released(tmp_path):
    path = tmp_path / "team.account"
    set_total(path, 800)
    Account(path, "one", tmp_path / "a", 0).lease(500, None, 0)
    assert Account(path, "one", tmp_path / "a", 120).held_microusd == 500
    assert release(path, "one", 120) == 380
    assert Account(path, "two", tmp_path / "b", 0).lease(900, None, 0) == 680
    with pytest.raises(FolderError, match="holds nothing"):
        release(path, "three", 0)


async def made(folder, run):
    """A run that holds money by this name."""
    store = Store(folder)
    await store.note("account_run", run)
    store.close()


def test_a_copied_run_folder_does_not_share_its_lease(tmp_path):
    path = tmp_path / "team.account"
    set_total(path, 800)
    asyncio.run(made(tmp_path / "a", "one"))
    Account(path, "one", tmp_path / "a", 0)
    with pytest.raises(FolderError, match="copy"):
        Account(path, "one", tmp_path / "b", 0)


def test_a_run_that_was_moved_away_keeps_its_lease_though_another_one_is_in_its_place(tmp_path):
    path = tmp_path / "team.account"
    set_total(path, 800)
    asyncio.run(made(tmp_path / "a", "one"))
    Account(path, "one", tmp_path / "a", 0).lease(500, None, 0)
    (tmp_path / "a").rename(tmp_path / "元の実行")
    asyncio.run(made(tmp_path / "a", "two"))
    Account(path, "two", tmp_path / "a", 0)
    assert Account(path, "one", tmp_path / "元の実行", 120).held_microusd == 500


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"junk" * 500])
def test_a_file_that_is_no_account_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(FolderError):
        standing(tmp_path / "x")


def test_sums_are_written_for_people():
    assert usd(12_300) == "$0.0123"
    assert usd(1_234_560_000) == "$1,234.56"
    assert Caps(usd=0.1).microusd == 100_000


@pytest.mark.parametrize(
    ("caps", "spent", "charged"),
    [
        (Caps(), Spend(0, 900, 20), False),
        (Caps(hours=8), Spend(0, 900, 20), False),
        (Caps(), Spend(5, 900, 20), True),
        (Caps(usd=1), Spend(0, 900, 20), True),
        (Caps(tokens=10_000), Spend(0, 900, 20), True),
        (Caps(account="team.db"), Spend(0, 900, 20), True),
    ],
)
def test_what_is_charged_is_told_only_where_something_is_at_stake(caps, spent, charged):
    told = budget_module.standing(caps, spent, Spend(), usage_unknown=11, lost=2)
    assert ("11 replies of unknown usage charged in full" in told) is charged
    assert ("2 lost attempts still charged" if charged else "2 lost attempts") in told


def test_a_lost_attempt_counts_as_a_request_even_where_nothing_costs_money():
    told = budget_module.standing(Caps(requests=50), Spend(0, 900, 20), Spend(), usage_unknown=11, lost=2)
    assert told == ["$0.0000 spent", "20 of 50 requests", "2 lost attempts still charged"]


def test_what_there_is_one_of_is_told_in_the_singular():
    caps, spent = Caps(tokens=1, requests=1, hours=1), Spend(0, 1, 1)
    told = ["$0.0000 spent", "1 of 1 token", "1 of 1 request", "1 h at most"]
    assert budget_module.standing(caps, spent, Spend(), usage_unknown=1, lost=1) == [
        *told, "1 reply of unknown usage charged in full", "1 lost attempt still charged",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ["$1.50 spent of $5.00, $0.0200 reserved", "30 of 500 requests",
            "1 reply of unknown usage charged in full", "2 lost attempts still charged"]),
        ("ja", ["使用 $1.50（上限 $5.00）、取り置き $0.0200", "リクエスト 30 / 500",
            "使用量の分からない返答 1 件は上限額で計上", "結果の分からない送信 2 件も計上"]),
    ],
)  # fmt: skip
def test_where_the_money_stands_is_told_in_both_languages(language, said):
    spent, reserved = Spend(1_500_000, 0, 30), Spend(20_000)
    given = {"usage_unknown": 1, "lost": 2, "language": language}
    assert budget_module.standing(Caps(usd=5.0, requests=500), spent, reserved, **given) == said


def test_what_another_takes_of_a_lease_is_leased_once_more(tmp_path):
    path = tmp_path / "team.account"
    set_total(path, 45)
    account = Account(path, "one", tmp_path, 0)
    leases: list[int] = []
    leasing = account.lease

    async def main():
        budget, loop = Budget(Caps(account=str(path)), account=account), asyncio.get_running_loop()
        reserved: list[int] = []

        async def reserve(number: int) -> None:
            await budget.reserve(Spend(10, 0, 1))
            reserved.append(number)

        def lease(*arguments):
            leases.append(leasing(*arguments))
            # before who leased hears of it, another comes and finds that it fits
            if len(leases) == 1:
                asyncio.run_coroutine_threadsafe(reserve(1), loop).result(10)
            return leases[-1]

        account.lease = lease
        first = asyncio.ensure_future(reserve(0))
        await asyncio.wait([first], timeout=10)
        return first.done(), budget.reserved_microusd

    assert asyncio.run(main()) == (True, 20)
    assert len(leases) == 2
