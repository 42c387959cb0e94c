"""The concurrency controller against simulated endpoints, in virtual time.

    .venv/bin/python tests/bench/controller.py [--minutes 30] [--seeds 5] [--only cap]

Goodput is the share of what an oracle would get that knows the limit; refused is the share of all requests that met a
429 or an error, less those that a load-independent share forces; p50 is the median latency of the accepted over that of
the unloaded server. Each is given as the median over the seeds and the worst.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import multiprocessing
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from synth.admission.admission import Admission
from synth.admission.buckets import Allowance
from synth.admission.concurrency import Concurrency
from synth.admission.lane import Place
from synth.admission.queueing import START, Load
from synth.protocol.endpoint import Limits

MEDIAN_S = 15.0
SPREAD = 0.5
TOKENS = 1500
ASKED = 5600
"""What a request might use, with its cap, where the recipe sets a limit of tokens."""
REFUSAL_S = 0.2
LOOK_EVERY_S = 1.0
TICK_S = 1e-6
"""The shortest wait: less than what is left by rounding would be none."""

Latency = Callable[[random.Random], float]


def lognormal(rng: random.Random) -> float:
    """Mean 17 s."""
    return MEDIAN_S * math.exp(rng.gauss(0, SPREAD))


def wide_lognormal(rng: random.Random) -> float:
    """Sigma 1.2: one in twenty takes more than 107 s."""
    return MEAN_S * math.exp(rng.gauss(-(1.2**2) / 2, 1.2))


def pareto(rng: random.Random) -> float:
    """Shape 2: infinite variance."""
    return MEAN_S / 2 * rng.paretovariate(2)


def brief(rng: random.Random) -> float:
    """Short requests, a fifth of a second on average."""
    return lognormal(rng) * 0.2 / MEAN_S


def fast(rng: random.Random) -> float:
    """Two seconds on average."""
    return lognormal(rng) * 2 / MEAN_S


MEAN_S = MEDIAN_S * math.exp(SPREAD**2 / 2)


@dataclass
class Server:
    """Says whether a request is taken, and how long it takes; what an oracle would finish in a while."""

    rng: random.Random
    busy: int = 0
    forced: int = 0
    """Refusals that had nothing to do with load."""

    def arrive(self, now: float) -> tuple[str, float]:
        """`ok`, `rate`, `late` or `failed`, and seconds until the reply is there."""
        raise NotImplementedError

    def oracle(self, seconds: float) -> float:
        raise NotImplementedError

    def load(self, now: float) -> Load | None:
        """What it tells of itself beside the requests."""
        return None

    def allowances(self, now: float) -> tuple[Allowance, ...]:
        return ()

    def retry_after(self, now: float) -> float | None:
        """How long a refusal says to wait."""
        return None


@dataclass
class Capped(Server):
    """Refuses what exceeds a cap that may change; a share of requests is refused whatever the load."""

    cap: Callable[[float], int] = lambda _: 500
    ambient: float = 0.0
    latency: Latency = lognormal
    mean_s: float = MEAN_S
    refusal_s: float = REFUSAL_S

    def arrive(self, now: float) -> tuple[str, float]:
        if self.busy >= self.cap(now):
            return "rate", self.refusal_s
        if self.rng.random() < self.ambient:
            self.forced += 1
            return "rate", self.refusal_s
        return "ok", self.latency(self.rng)

    def oracle(self, seconds: float) -> float:
        return sum(self.cap(second) for second in range(int(seconds))) / self.mean_s


@dataclass
class Metered(Server):
    """A limit of tokens a minute, refilled continuously; with headers or without."""

    per_minute: float = 2e6
    headers: bool = False
    burst_s: float = 60.0
    """How many seconds' worth may be used at once after a pause."""
    latency: Latency = lognormal
    level: float = math.inf
    then: float = 0.0

    def arrive(self, now: float) -> tuple[str, float]:
        refilled = (now - self.then) * self.per_minute / 60
        self.level = min(self.burst_s * self.per_minute / 60, self.level + refilled)
        self.then = now
        if self.level < TOKENS:
            return "rate", REFUSAL_S
        self.level -= TOKENS
        return "ok", self.latency(self.rng)

    def oracle(self, seconds: float) -> float:
        return (seconds + self.burst_s) / 60 * self.per_minute / TOKENS

    def allowances(self, now: float) -> tuple[Allowance, ...]:
        if not self.headers:
            return ()
        reset = (self.per_minute - self.level) / self.per_minute * 60
        return (Allowance("tokens", self.per_minute, max(0.0, self.level), reset),)


@dataclass
class Silenced(Metered):
    """A limit that was told for so long, and is another one since then, of which nothing is told."""

    headers: bool = True
    told_s: float = 120.0
    later: float = 4e6

    def arrive(self, now: float) -> tuple[str, float]:
        if now >= self.told_s:
            self.per_minute, self.headers = self.later, False
        return super().arrive(now)

    def oracle(self, seconds: float) -> float:
        return super().oracle(seconds - self.told_s) + self.told_s / 60 * 2e6 / TOKENS


@dataclass
class Windowed(Metered):
    """A limit of requests a minute, told in headers, of which no more than its share may go in each window of so many
    seconds, nor more at once than a cap that is not told. It is counted in tokens inside, all requests being alike."""

    headers: bool = True
    cap: float = math.inf
    window_s: float = 5.0
    used: float = 0.0
    until: float = 0.0

    def arrive(self, now: float) -> tuple[str, float]:
        if self.busy >= self.cap:
            return "rate", REFUSAL_S
        if now >= self.until:
            self.until, self.used = (now // self.window_s + 1) * self.window_s, 0.0
        if self.used + TOKENS > self.window_s * self.per_minute / 60:
            return "rate", REFUSAL_S
        said = super().arrive(now)
        self.used += TOKENS * (said[0] == "ok")
        return said

    def oracle(self, seconds: float) -> float:
        return min(super().oracle(seconds), self.cap * seconds / MEAN_S)

    def allowances(self, now: float) -> tuple[Allowance, ...]:
        return tuple(
            Allowance("requests", told.limit / TOKENS, told.remaining / TOKENS, told.reset_s)
            for told in super().allowances(now)
        )


@dataclass
class ByTheMinute(Server):
    """So many requests in each minute of its clock; it may say when the next one begins."""

    per_minute: int = 300
    says: bool = False
    used: int = 0
    ends: float = 0.0

    def __post_init__(self) -> None:
        self.ends = 60 * self.rng.random()

    def arrive(self, now: float) -> tuple[str, float]:
        if now >= self.ends:
            self.ends, self.used = self.ends + 60 * ((now - self.ends) // 60 + 1), 0
        if self.used >= self.per_minute:
            return "rate", REFUSAL_S
        self.used += 1
        return "ok", lognormal(self.rng)

    def oracle(self, seconds: float) -> float:
        return self.per_minute * (seconds / 60 + 0.5)

    def retry_after(self, now: float) -> float | None:
        return self.ends - now if self.says else None


@dataclass
class Queueing(Server):
    """So many slots and an endless queue; never says no. Full batches may be slower than small ones."""

    slots: int = 256
    slowdown: float = 0.0
    latency: Latency = lognormal
    mean_s: float = MEAN_S
    patience_s: float = math.inf
    """How long each who asked waits before hanging up; then nothing of it is worked on any more."""
    tells: bool = False
    free_at: list[float] = field(default_factory=list[float])

    def load(self, now: float) -> Load | None:
        running = min(self.busy, self.slots)
        return Load(running, self.busy - running) if self.tells else None

    def arrive(self, now: float) -> tuple[str, float]:
        begin = now
        if len(self.free_at) >= self.slots:
            begin = max(now, heapq.heappop(self.free_at))
        end = begin + self.latency(self.rng) * (1 + self.slowdown * min(1.0, self.busy / self.slots))
        hangs_up = now + self.patience_s
        heapq.heappush(self.free_at, max(begin, min(end, hangs_up)))
        return ("ok", end - now) if end <= hangs_up else ("late", self.patience_s)

    def oracle(self, seconds: float) -> float:
        return self.slots * seconds / self.mean_s / (1 + self.slowdown)


@dataclass
class Failing(Server):
    """Fails every request at once while `down`; else has a cap."""

    down: Callable[[float], bool] = lambda _: False
    cap: int = 300

    def arrive(self, now: float) -> tuple[str, float]:
        if self.down(now):
            return "failed", REFUSAL_S
        return ("rate", REFUSAL_S) if self.busy >= self.cap else ("ok", lognormal(self.rng))

    def oracle(self, seconds: float) -> float:
        return sum(not self.down(second) for second in range(int(seconds))) * self.cap / MEAN_S


@dataclass
class Found:
    """What came of a scenario."""

    goodput: float
    refused: float
    p50: float
    limit: float
    took_s: float
    sent: int
    useful: int
    done_by_minute: list[int]


def simulate(
    server: Server,
    seconds: float,
    *,
    queues_silently: bool = False,
    most: int = 2000,
    first: int = START,
    wanted: float = math.inf,
    agreed: float | None = None,
) -> Found:
    """Work from one client for so many seconds, or until so many answers are there."""
    now = 0.0
    limits = Limits(max_in_flight=most, tokens_per_minute=agreed)
    admission = Admission(limits, lambda: now, queues_silently=queues_silently)
    lane = admission.lanes[0]
    lane.concurrency = control = Concurrency(most, queues_silently=queues_silently, first=first)
    asked = TOKENS if agreed is None else ASKED
    order = itertools.count()
    events: list[tuple[float, int, str, tuple[Allowance, ...], float | None, Place]] = []
    done = bad = sent = 0
    latencies: list[float] = []
    by_minute = [0] * (int(seconds / 60) + 1)
    looked = 0.0
    while now < seconds and done < wanted:
        if now - looked >= LOOK_EVERY_S:
            looked = now
            if (load := server.load(now)) is not None:
                lane.told(load)
        opens = math.inf
        while lane.in_flight < min(control.allowed(), wanted - done):
            if (pause_s := lane.pause_s(asked)) > 0:
                opens = now + max(TICK_S, pause_s)
                break
            place = lane.board(asked)
            kind, takes_s = server.arrive(now)
            server.busy += kind in ("ok", "late")
            sent += 1
            told = server.allowances(now), server.retry_after(now)
            heapq.heappush(events, (now + takes_s, next(order), kind, *told, place))
        if not events or opens < events[0][0]:
            now = opens if opens < math.inf else seconds
            continue
        now, _, kind, allowances, retry_after_s, place = heapq.heappop(events)
        admission.land(place)
        server.busy -= kind in ("ok", "late")
        if kind == "ok":
            done += 1
            by_minute[min(int(now / 60), len(by_minute) - 1)] += 1
            latencies.append(now - place.sent_at)
            lane.used(place, TOKENS)
            admission.accepted(place, TOKENS)
        elif kind == "rate":
            bad += 1
            lane.refused(place, retry_after_s)
        else:
            bad += 1
            if kind != "late" or not lane.overdue(place):
                lane.failed(place.sent_at, None)
        lane.learn(allowances, place.taken, now - place.sent_at)
    p50 = statistics.median(latencies[len(latencies) // 2 :]) / MEDIAN_S
    refused = (bad - server.forced) / sent
    return Found(done / server.oracle(seconds), refused, p50, control.limit, now, sent, done, by_minute)


def dropping(now: float) -> int:
    """500, then 100 for ten minutes."""
    return 100 if 600 <= now < 1200 else 500


@dataclass(frozen=True)
class Scenario:
    """An endpoint and how it is used."""

    server: Callable[[random.Random], Server]
    queues_silently: bool = False
    most: int = 2000
    first: int = START
    agreed: float | None = None
    """Tokens a minute that the recipe sets."""


def capped(cap: int, **more: float | Latency) -> Scenario:
    """An endpoint with a hidden cap."""
    return Scenario(lambda rng: Capped(rng, cap=lambda _: cap, **more))  # pyright: ignore[reportArgumentType]


def queue(
    slots: int, slowdown: float = 0.0, latency: Latency = lognormal, *, tells: bool = False, first: int = START
) -> Scenario:
    """An endpoint that queues and answers nothing but answers; it may tell what runs and what waits beside them."""
    return Scenario(
        lambda rng: Queueing(rng, slots=slots, slowdown=slowdown, latency=latency, tells=tells),
        queues_silently=True,
        first=first,
    )


def long_queue(slots: int, mean_s: float, *, queues_silently: bool = True) -> Scenario:
    """A server so slow that a line as long as others bear cannot be served before those in it hang up."""

    def latency(rng: random.Random) -> float:
        return lognormal(rng) * mean_s / MEAN_S

    return Scenario(
        lambda rng: Queueing(rng, slots=slots, latency=latency, mean_s=mean_s, patience_s=600.0),
        queues_silently=queues_silently,
        most=256,
    )


SCENARIOS: dict[str, Scenario] = {
    "cap 8": capped(8),
    "cap 40": capped(40),
    "cap 500": capped(500),
    "cap 1,500": capped(1500),
    "cap 500, log-normal sigma 1.2": capped(500, latency=wide_lognormal),
    "cap 40, log-normal sigma 1.2": capped(40, latency=wide_lognormal),
    "cap 500, Pareto": capped(500, latency=pareto),
    "cap 64, answers and refusals in 0.2 s": capped(64, latency=brief, mean_s=0.2),
    "cap 500, 5 % refused at any load": capped(500, ambient=0.05),
    "cap 500, 10 % refused at any load": capped(500, ambient=0.1),
    "cap 500, 20 % refused at any load": capped(500, ambient=0.2),
    "cap 500, 30 % refused at any load": capped(500, ambient=0.3),
    "cap 500, then 100, then 500": Scenario(lambda rng: Capped(rng, cap=dropping)),
    "2M tokens a minute, no headers": Scenario(lambda rng: Metered(rng)),
    "2.7M tokens a minute in bursts of 5 s": Scenario(
        lambda rng: Metered(rng, per_minute=2.7e6, burst_s=5, latency=fast)
    ),
    "2M tokens a minute, headers": Scenario(lambda rng: Metered(rng, headers=True)),
    "2M told for two minutes, then 4M": Scenario(lambda rng: Silenced(rng)),
    "2M told for two minutes, then 1M": Scenario(lambda rng: Silenced(rng, later=1e6)),
    "1,333 requests a minute, told, by 5 s": Scenario(lambda rng: Windowed(rng)),
    "1,333 requests a minute, told, by 1 s": Scenario(lambda rng: Windowed(rng, window_s=1)),
    "1,333 requests a minute, told, by 10 s": Scenario(lambda rng: Windowed(rng, window_s=10)),
    "1,800, told, by 5 s, answers in 2 s": Scenario(lambda rng: Windowed(rng, per_minute=2.7e6, latency=fast)),
    "1,333 requests a minute, told, cap 250": Scenario(lambda rng: Windowed(rng, window_s=60, cap=250)),
    "300 requests in each minute, told": Scenario(lambda rng: ByTheMinute(rng, says=True)),
    "60 requests in each minute, told": Scenario(lambda rng: ByTheMinute(rng, per_minute=60, says=True)),
    "300 requests in each minute": Scenario(lambda rng: ByTheMinute(rng)),
    "60 requests in each minute": Scenario(lambda rng: ByTheMinute(rng, per_minute=60)),
    "2M tokens a minute, set in the recipe": Scenario(lambda rng: Metered(rng), agreed=2e6),
    "503 two minutes in ten, cap 300": Scenario(lambda rng: Failing(rng, down=lambda now: now % 600 >= 480)),
    "503 for ten minutes, cap 300": Scenario(lambda rng: Failing(rng, down=lambda now: 600 <= now < 1200)),
    "queue of 32 slots": queue(32),
    "queue of 32 slots, 256 at first": queue(32, first=256),
    "queue of 256 slots": queue(256),
    "queue of 256 slots, 500 at first": queue(256, first=500),
    "queue of 300 slots": queue(300),
    "queue of 1,000 slots": queue(1000),
    "queue of 256, full batch half as fast": queue(256, slowdown=1.0),
    "queue of 256, log-normal sigma 1.2": queue(256, latency=wide_lognormal),
    "queue of 1 slot, 50 s each": long_queue(1, 50.0),
    "queue of 4 slots, 100 s each": long_queue(4, 100.0),
    "queue of 4 slots far away, 100 s each": long_queue(4, 100.0, queues_silently=False),
    "queue of 32 slots that tells": queue(32, tells=True),
    "queue of 256 slots that tells": queue(256, tells=True),
    "queue of 1,000 slots that tells": queue(1000, tells=True),
    "queue of 256 that tells, slower if full": queue(256, slowdown=1.0, tells=True),
    "queue of 256 that tells, sigma 1.2": queue(256, latency=wide_lognormal, tells=True),
}


def find(name: str, seed: int, seconds: float) -> Found:
    """Play one scenario once."""
    scenario = SCENARIOS[name]
    server = scenario.server(random.Random(seed))
    return simulate(
        server,
        seconds,
        queues_silently=scenario.queues_silently,
        most=scenario.most,
        first=scenario.first,
        agreed=scenario.agreed,
    )


def short_run(seed: int, ambient: float) -> Found:
    """5,000 requests of 0.2 s, 256 allowed, no other limit."""
    server = Capped(random.Random(seed), cap=lambda _: 10**6, ambient=ambient, latency=brief, mean_s=0.2)
    return simulate(server, 3600, most=256, wanted=5000)


def main() -> None:
    """Print one line for each scenario."""
    parser = argparse.ArgumentParser(description="The concurrency controller against simulated endpoints.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    names = [name for name in SCENARIOS if asked.only in name]
    print(f"{asked.minutes:g} virtual minutes, {asked.seeds} seeds, median (worst)")
    print(f"{'endpoint':<38} {'goodput':>16} {'refused':>16} {'p50':>14} {'limit':>6} {'sent/useful':>12}")
    with multiprocessing.Pool(2) as pool:
        jobs = [(name, seed, asked.minutes * 60) for name in names for seed in range(asked.seeds)]
        found = pool.starmap(find, jobs, chunksize=1)
    for at, name in enumerate(names):
        runs = found[at * asked.seeds : (at + 1) * asked.seeds]
        goodput, refused, p50 = ([getattr(run, part) for run in runs] for part in ("goodput", "refused", "p50"))
        print(
            f"{name:<38} {statistics.median(goodput):>7.1%} ({min(goodput):>6.1%}) "
            f"{statistics.median(refused):>7.2%} ({max(refused):>6.2%}) {statistics.median(p50):>6.2f} ({max(p50):>4.2f}) "
            f"{statistics.median(run.limit for run in runs):>7.0f} {max(run.sent / run.useful for run in runs):>12.3f}"
        )
    if not asked.only:
        clean, noisy = ([short_run(seed, share).took_s for seed in range(20 * asked.seeds)] for share in (0, 0.05))
        ratios = [one / other for one, other in zip(noisy, clean, strict=True)]
        print(
            f"5,000 requests of 0.2 s, 256 at once: {statistics.median(clean):.2f} s; with 5 % refused at any load "
            f"{statistics.median(ratios):.2f} (worst {max(ratios):.2f}) times as long"
        )


if __name__ == "__main__":
    main()
