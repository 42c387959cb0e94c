"""How a teacher's endpoint fares, by what became of every send: whether a failure is of one request, passes, or is of
every request and will not. Of several members one that is of no use is left out, until it is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from synth.admission.admission import Admission
from synth.admission.breaker import BREAKER_LONGEST_S
from synth.admission.lane import Place
from synth.admission.rate_headers import allowances
from synth.errors import Fatal, Rejected, Transient
from synth.patterns import lazy
from synth.protocol import explain
from synth.protocol.endpoint import Endpoint
from synth.protocol.fates import FATES, POISON
from synth.storage.store import Store
from synth.types import CHAT, Completion, Outcome, Request, Usage

POISONOUS = ("transient", "ambiguous", "malformed")
POISON_TIMES = 3
POISON_SUCCESSES = 50
POISON_CHANCE = 0.01
"""A request that failed so often in one way while so many others succeeded is at fault itself, unless as many such
requests, or more, are to be expected by chance, as with an endpoint that fails now and then whatever it is asked."""
TOO_MUCH = lazy(rb"too large|must be reduced")
"""How a host says that one request alone wants more than its limit for a minute: waiting does not help it."""
SPEECH = lazy(rb'"choices"|"stop_reason"')
"""What stands in every reply of a model, also in one that is of no use."""
SPOKEN = ("ok", "teacher_refused", "truncated_empty", "repetition")
FRUITLESS_SENDS = 8
PROVING_S = 60.0
"""After so many sends and so long a time without a completion, ever, the endpoint is at fault and not the requests."""
SILENCE_S = 6 * 3600.0
"""How long an endpoint that has answered may be out of reach, or any say that it has no room and nothing else, before
nothing more is asked of it."""
USELESS, USELESS_S = 20, 3600.0
"""When nothing was found in the replies to so many requests in a row the endpoint is at fault and not they: canaries
ask it, for so long, until one brings something."""
UNASKED_S = 2 * BREAKER_LONGEST_S
"""After so long between two failures nobody asked, as in a pause: how it fared meanwhile is not known."""
SCHEMA_TRIAL = 20
"""When more than half of so many first replies to a schema do not fit it, the teacher ignores it."""

Failed = Transient | Rejected | Fatal
"""How a send fails."""


class Times(dict[str, int]):
    """How often, by class of failure. A counter of Python's takes as long to make as a request to be read."""

    def __missing__(self, failure: str) -> int:
        return 0


@dataclass(slots=True)
class Tries:
    """What became of the sends of one request."""

    successes_then: int
    """Of the teacher, at the first send."""
    path: str = CHAT
    began: float = 0.0
    """When it failed first: the time it waits in line before that takes none of its patience."""
    roomless_then_s: float = 0.0
    """How long the endpoint had had no room for anybody by then."""
    failed_before: bool = False
    """Whether it failed in an earlier run, in a way that may be its own fault."""
    failures: Times = field(default_factory=Times)
    avoided: frozenset[int] = frozenset()
    """At which members it failed, since it has failed at all of them."""

    def failed_at(self, place: int, of: int) -> None:
        """Go elsewhere next, where there are so many members."""
        self.avoided = frozenset({place, *(self.avoided if len(self.avoided) < of - 1 else ())})


@dataclass(slots=True)
class Member:
    """What is known of one of a teacher's servers, or keys."""

    answered: bool = False
    spoken: bool = False
    """Whether a model has."""
    fruitless: int = 0
    """Sends without a completion, as long as there was none."""
    useless: int = 0
    """Requests in a row in whose replies nothing was found."""
    useless_since: float = 0.0
    barren: int = 1
    """Replies in a row in which nothing was found, and one as long as there was none in which something was."""
    why: str = ""
    """Why it is left out: a sentence; empty while it is not."""


class Health:
    """What is known of an endpoint, or of replicas of one, from the sends of this process."""

    def __init__(self, name: str, endpoint: Endpoint, admission: Admission, store: Store) -> None:
        self.sends = self.successes = 0
        self._name = name
        self._endpoint = endpoint
        self._admission = admission
        self._store = store
        self._members = [Member() for _ in admission.lanes]
        self._silent_since: float | None = None
        """When a send failed to reach it, and none has since."""
        self._silent_last = 0.0
        """When the last one failed so."""
        self._roomless: Tries | None = None
        """For whom there was no room, and for nobody since."""
        self._roomless_since: float | None = None
        """When that was so of a second request."""
        self._roomless_last = 0.0
        self._roomless_before_s = 0.0
        """How long there was no room at earlier times."""
        self._failed = 0
        self._schema_replies = self._unfit = 0

    @property
    def silent_s(self) -> float:
        """How long it has been out of reach; 0 when it has not."""
        return 0.0 if self._silent_since is None else time.monotonic() - self._silent_since

    @property
    def roomless_s(self) -> float:
        """How long it has had no room for any of several requests; 0 when it has."""
        return 0.0 if self._roomless_since is None else time.monotonic() - self._roomless_since

    def waited_s(self, tries: Tries) -> float:
        """How long a request has failed, but for the time in which there was no room for others either."""
        return time.monotonic() - tries.began - (self._roomless_before_s + self.roomless_s - tries.roomless_then_s)

    def left_out(self) -> list[str]:
        """Why members are left out now, a sentence each; nothing when none is left, which ends the run."""
        whys = [member.why for member in self._members if member.why]
        return whys if len(whys) < len(self._members) else []

    def heed(
        self, place: Place, outcome: Outcome, failure: str, result: Completion | Failed, usage: Usage, tries: Tries
    ) -> None:
        """Note what came of a send, and let admission know."""
        if outcome.headers and (told := allowances(outcome.headers)):
            place.lane.learn(told, place.taken, time.monotonic() - place.sent_at)
        member = self._members[place.lane.place]
        if self._is_of_member(member, failure, result):
            self._admission.failed(place, None, again=False)
        elif not isinstance(result, Transient):
            self.successes += 1
            member.useless = member.barren = 0
            self._roomless_before_s += self.roomless_s
            self._roomless = self._roomless_since = None
            self._admission.accepted(place, usage.completion_tokens or 1)
        elif failure == "rate":
            self._admission.refused(place, result.retry_after_s)
        elif failure == "malformed":
            self._note_useless(place, member, tries)
        else:
            if failure == "unreachable":
                if self._silent_since is None or place.sent_at - self._silent_last > UNASKED_S:
                    self._silent_since = place.sent_at
                self._silent_last = time.monotonic()
            elif failure == "capacity":
                self._note_roomless(place, tries)
            # no connection is never the fault of one request, however often it is sent
            again = failure != "unreachable" and (tries.failed_before or bool(tries.failures))
            if outcome.error != "timeout" or not self._admission.overdue(place):
                self._admission.failed(place, result.retry_after_s, again=again)
        if outcome.status > 0:
            member.answered = True
            if self._silent_since is not None and place.sent_at >= self._silent_since and not member.why:
                self._silent_since = None  # who had been asked before may answer from a connection that still stands
        if failure != "ok" and not tries.began:
            tries.began = time.monotonic()
            tries.roomless_then_s = self._roomless_before_s + self.roomless_s
        member.spoken |= failure in SPOKEN or (tries.path == CHAT and bool(SPEECH.search(outcome.body)))
        if member.why and not place.lane.concurrency.half_open:
            member.why = ""

    def _note_useless(self, place: Place, member: Member, tries: Tries) -> None:
        member.barren += 1
        member.useless_since = member.useless_since if member.useless else place.sent_at
        # the last requests of a run may be a few that bring nothing however often they are sent
        member.useless += not tries.failures["malformed"]
        if member.useless >= USELESS:
            self._admission.failed(place, None, again=False)
            if not place.lane.concurrency.half_open:
                self._admission.eject(place.lane)

    def _note_roomless(self, place: Place, tries: Tries) -> None:
        if self._roomless is None:
            self._roomless = tries
        elif self._roomless is not tries and self._roomless_since is None:
            self._roomless_since = place.sent_at
        elif place.sent_at - self._roomless_last > UNASKED_S and self._roomless_since is not None:
            self._roomless_before_s += self.roomless_s
            self._roomless_since = place.sent_at
        self._roomless_last = time.monotonic()

    def _is_of_member(self, member: Member, failure: str, result: Completion | Failed) -> bool:
        """Whether a failure is of one of several members, or of one that is left out, and no word on the request."""
        if len(self._members) == 1:
            return False
        return isinstance(result, Fatal) or (bool(member.why) and failure not in (*SPOKEN, "rate"))

    def _has_other(self, place: Place, tries: Tries) -> bool:
        """Whether a request that failed at a member for the first time has not been asked of every other one yet."""
        own, asked = place.lane.place, tries.avoided
        others = (n for n, other in enumerate(self._members) if n != own and not other.why)
        return own not in asked and any(other not in asked for other in others)

    async def judged(
        self, failure: str, error: Failed, outcome: Outcome, place: Place, tries: Tries
    ) -> tuple[str, Failed]:
        """Whether a failure of this request, or one that may pass, is one of every request and will not."""
        member = self._members[place.lane.place]
        if isinstance(error, Fatal) or self._is_of_member(member, failure, error):
            return failure, self._leave_out(failure, error, outcome, place, tries)
        if failure == "unreachable" and not member.answered:
            left_out = self._leave_out(failure, error, outcome, place, tries)
            return "fatal" if isinstance(left_out, Fatal) else failure, left_out
        if failure == "unreachable" and self.silent_s > SILENCE_S:
            endpoint = self._endpoint.members()[place.lane.place]
            return "fatal", Fatal(explain.gone(self._name, endpoint, "been out of reach", self.silent_s, error.detail))
        if failure == "capacity" and self.roomless_s > SILENCE_S:
            endpoint = self._endpoint.members()[place.lane.place]
            return "fatal", Fatal(explain.gone(self._name, endpoint, "had no room", self.roomless_s, error.detail))
        if failure == "malformed" and member.useless >= USELESS:
            for_s = time.monotonic() - member.useless_since
            if len(self._members) > 1:
                return failure, self._leave_out(failure, error, outcome, place, tries)
            if for_s <= USELESS_S:
                return failure, error  # asked again once a canary has found it mended
            await self._store.forgive()
            return "fatal", Fatal(explain.gone(self._name, self._endpoint, "said nothing of use", for_s, error.detail))
        tries.failures[failure] += 1
        if failure == "unreachable" and self._silent_since is not None:  # for that long all wait, however few they are
            tries.failures[failure] = min(tries.failures[failure], FATES[failure].resends or 0)
        if failure in POISONOUS:
            self._failed += 1
            times, others = tries.failures[failure], self.successes - tries.successes_then
            if times >= POISON_TIMES and others >= POISON_SUCCESSES and self._chance(times, tries) < POISON_CHANCE:
                return POISON, Transient(POISON, f"{times} times, while {others} others succeeded: {error.detail}")
        resends = FATES[failure].resends
        if resends is not None and self._is_hopeless(member, failure, tries, over=tries.failures[failure] > resends):
            await self._store.forgive()  # once the endpoint is mended, what it refused is asked again
            tries.failures.pop(failure, None)
            return failure, self._leave_out(failure, error, outcome, place, tries)
        if failure == "permanent" and not member.spoken and self._has_other(place, tries):
            tries.failures.pop(failure, None)  # who has never spoken may refuse whatever is asked
            return failure, Transient(failure, str(error))
        if failure == "malformed" and member.barren > 1 and self._has_other(place, tries):
            tries.failures[failure] = min(tries.failures[failure], resends or 0)  # who gives nothing may give it to all
        if failure == "malformed" and tries.failures[failure] > (resends or 0):
            return POISON, Transient(POISON, error.detail)  # whole replies that were paid for: not bought at each rerun
        return failure, error

    def judged_of_several(
        self, failure: str, error: Failed, request: Request, outcome: Outcome, place: Place, tries: Tries
    ) -> Transient | Rejected:
        """The same of a request for several draws, whose failure is no word on what asking for one alone would bring:
        it leaves a member out where that is so whatever is asked, and ends nothing."""
        own = self._members[place.lane.place]
        others = any(not member.why for member in self._members if member is not own)
        if others and self._is_of_member(own, failure, error) and not explain.ROUTES.search(str(error)):
            left_out = self._leave_out(failure, error, outcome, place, tries)
            assert isinstance(left_out, Transient)
            return left_out
        tries.failures[failure] += 1
        if isinstance(error, Fatal) or (failure == "rate" and _is_too_much(request, outcome)):
            return Rejected(failure, str(error))
        return error

    def note_fit(self, problem: str) -> Fatal | None:
        """Whether a bought reply fitted the schema it was asked for; `problem` is empty when it did.

        Returns why no more is to be asked when most of the first replies do not: such a teacher does not heed the way
        it is asked, and each sample would buy three replies to be rejected.
        """
        self._schema_replies += 1
        self._unfit += bool(problem)
        if not problem or self._schema_replies > SCHEMA_TRIAL or 2 * self._unfit <= SCHEMA_TRIAL:
            return None
        return Fatal(explain.unfit(self._name, self._endpoint, self._schema_replies, self._unfit, problem))

    def _chance(self, times: int, tries: Tries) -> float:
        """How many of the requests sent so far would fail so often in a row, by the failures of the others."""
        own = sum(tries.failures[name] for name in POISONOUS)
        return self.sends * ((self._failed - own) / self.sends) ** times

    def _leave_out(
        self, failure: str, error: Failed, outcome: Outcome, place: Place, tries: Tries
    ) -> Transient | Fatal:
        """Leave a member out, so that its request is asked of another one; what ends the run when none is left."""
        endpoint = self._endpoint.members()[place.lane.place]
        detail = str(error) if isinstance(error, Fatal) else error.detail
        why = explain.unusable(self._name, endpoint, outcome, detail, tries.path)
        self._members[place.lane.place].why = why
        if all(member.why for member in self._members):
            return Fatal("\n".join(member.why for member in self._members))
        self._admission.eject(place.lane)
        return Transient(failure, why)

    def _is_hopeless(self, member: Member, failure: str, tries: Tries, *, over: bool) -> bool:
        """Whether a failed send shows that a member has never been of any use; `over`: the request's last one."""
        if member.spoken:
            return False
        member.fruitless += 1
        alone = over and failure != "permanent" and self._admission.in_flight == 0  # else others may fare better
        late = over or not member.answered or time.monotonic() - tries.began > PROVING_S
        if not alone and not (late and member.fruitless >= FRUITLESS_SENDS):
            return False
        if all(other.why for other in self._members if other is not member):  # else another one may have spoken then
            member.spoken = any(line.teacher == self._name and line.failure in SPOKEN for line in self._store.ledger())
        return not member.spoken


def _is_too_much(request: Request, outcome: Outcome) -> bool:
    """Whether a request for several draws was refused for wanting more tokens than are given in a minute at all."""
    tokens = request.prompt_tokens // 3 + request.max_tokens
    limits = [told.limit for told in allowances(outcome.headers) if told.kind == "tokens"]
    return bool(TOO_MUCH.search(outcome.body)) or any(tokens > limit for limit in limits)
