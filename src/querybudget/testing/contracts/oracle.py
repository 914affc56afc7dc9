"""`Oracle`: what a store must answer, computed slowly from logs of every charge ever made.

It shares no code with the ledger and is far simpler, so an answer that both give is right. What a
`CallerProfile` or a `Group` says is taken for granted: stores only have to keep them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from querybudget.coverage import Stage
from querybudget.coverage.calibration import moved
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group
from querybudget.coverage.population import SURE_SCORE, touched
from querybudget.coverage.response import SUSPECT_SCORE
from querybudget.ledger import Charge, Decision, Line, Settled, Standing
from querybudget.testing.contracts.charge_logs import LOGS, Log
from querybudget.units import MICRO, Algorithm, Quota, Unit

DAY = 24 * 3_600 * 1_000_000

PACKED = 8
"""New buckets from which on a call counts for its caller's score before it is decided."""


@dataclass
class OpenReservation:
    """A reservation: what it holds, and the partitions whose accounts still have it."""

    charge: Charge
    held: tuple[int, ...]
    expires: int
    price: int
    known: set[str]


@dataclass(frozen=True)
class Expected:
    """What a store must decide about a charge. `held` is None for a refusal."""

    held: tuple[int, ...] | None
    price: int
    stage: Stage
    delay: int
    shadow_price: int
    shadow_stage: Stage


@dataclass(frozen=True)
class View:
    """What a line of buckets says, according to its log and its profile; it costs `amount`."""

    amount: int
    price: int = MICRO
    stage: Stage = Stage.NONE
    entered: Stage = Stage.NONE
    delay: int = 0


def found_in(decision: Decision) -> Expected:
    """Return the part of a decision that the oracle predicts."""
    return Expected(
        decision.reservation.held if decision.reservation else None,
        decision.price,
        decision.stage,
        decision.delay,
        decision.shadow_price,
        decision.shadow_stage,
    )


class Oracle:
    """Reserves and settles on logs."""

    def __init__(self) -> None:
        self.logs: dict[tuple[str, str], Log] = {}
        self.held: dict[str, OpenReservation] = {}
        self.profiles: dict[str, CallerProfile | Group] = {}

    def copy(self) -> Oracle:
        """Return a copy that shares quotas and charges, which do not change."""
        quotas = {id(log.quota): log.quota for log in self.logs.values()}
        charges = {id(entry.charge): entry.charge for entry in self.held.values()}
        return copy.deepcopy(self, {**quotas, **charges})

    def log(self, partition: str, quota: Quota) -> Log:
        """Return the log of a quota of a partition."""
        return self.logs.setdefault((partition, quota.name), LOGS[quota.algorithm](quota))

    def left(self, partition: str, quota: Quota, now: int) -> int:
        return self.log(partition, quota).left(now)

    def profile(self, charge: Charge, partition: str) -> CallerProfile | Group:
        """Return a partition's profile: the first of `charge.profiled` is an identity."""
        new = CallerProfile() if partition in charge.profiled[:1] else Group()
        return self.profiles.setdefault(partition, new)

    def scored(self, now: int) -> bool:
        """Return True if there is a score: how it falls, no wait promises."""
        return any(profile.score(now) for profile in self.profiles.values())

    def view(self, charge: Charge, line: Line, now: int) -> View | None:
        """Return what a line of buckets says; None for any other line."""
        if line.quota.unit is not Unit.BUCKETS or charge.observation is None:
            return None
        identity = self.profile(charge, charge.profiled[0])
        assert isinstance(identity, CallerProfile), "identities and groups do not share partitions"
        amount = identity.novelty(charge.observation) * line.amount
        left, response = self.left(line.partition, line.quota, now), line.response
        fits = not amount or amount <= left
        if response is None:
            return View(amount, stage=Stage.NONE if fits else Stage.REFUSE)
        if response.suspects is not None:
            return self._of_suspects(charge, line, amount, now)
        profile = self.profile(charge, line.partition)
        judged = profile
        if isinstance(profile, CallerProfile) and profile.novelty(charge.observation) >= PACKED:
            judged = copy.deepcopy(profile)  # what it brings counts before it is decided
            judged.observe(charge.observation, now, verified=False)
        score = self._score(charge, judged, now) if response.scored else 0
        if isinstance(profile, Group) and identity.cleared(None, now):
            score = 0  # two looks in turn found it ordinary
        strain = max(score, (line.quota.limit - left) * MICRO // line.quota.limit)
        before = profile.stages.get(line.quota.key, Stage.NONE)
        stage = entered = response.stage(strain, before)
        refusing = [start for known, start in response.stages if known is Stage.REFUSE]
        if entered is Stage.REFUSE and not amount:
            # Only the score refuses a call on known ground.
            eased = refusing[0] - min(100_000, refusing[0] // 2)
            if score < (eased if before is Stage.REFUSE else refusing[0]):
                others = [known for known, _ in response.stages if known is not Stage.REFUSE]
                stage = max(others, default=Stage.NONE)
        spent = (line.quota.limit - left) * MICRO // line.quota.limit
        by_score = not amount or response.stage(spent, before) is not Stage.REFUSE
        member = isinstance(profile, Group) and not self._another_pool(charge, line, now)
        if stage is Stage.REFUSE and member and by_score and score:
            # A group's score alone refuses no member.
            stage = max(
                (known for known, _ in response.stages if known < stage), default=Stage.NONE
            )
        delay = response.delay_at(strain) if stage else 0
        price = response.price(strain)
        return View(amount, price, stage if fits else Stage.REFUSE, entered, delay)

    def _of_suspects(self, charge: Charge, line: Line, amount: int, now: int) -> View:
        """Return what a line says that only suspects spend: it refuses on two kinds of evidence."""
        response, left = line.response, max(0, self.left(line.partition, line.quota, now))
        identity = self.profile(charge, charge.profiled[0])
        score = self._touched(charge, line, now)
        if response is None or not score:
            return View(0)
        strain = max(score, (line.quota.limit - left) * MICRO // line.quota.limit)
        strain = MICRO if amount > left and strain < MICRO else strain
        stage = response.stage(strain, identity.stages.get(line.quota.key, Stage.NONE))
        if stage is Stage.REFUSE and score < MICRO:
            milder = [known for known, _ in response.stages if known is not Stage.REFUSE]
            stage = max(milder, default=Stage.NONE)
        delay = response.delay_at(strain) if stage else 0
        return View(min(amount, left), response.price(strain), stage, stage, delay)

    def _touched(self, charge: Charge, line: Line, now: int) -> int:
        """Return the score of a member that a group's population test touches; 0 if it does not."""
        group, own = self.profile(charge, line.partition), self.profile(charge, charge.profiled[0])
        suspects = line.response and line.response.suspects
        if not isinstance(group, Group) or not isinstance(own, CallerProfile) or not suspects:
            return 0
        score = touched(group, own.tails, suspects).score
        if score < SURE_SCORE:
            return score
        return MICRO if self._another_pool(charge, line, now) else SURE_SCORE

    def _another_pool(self, charge: Charge, line: Line, now: int) -> bool:
        """Return whether a group of callers that another budget has is suspect as a whole."""
        others = {
            other.partition
            for other in charge.lines
            if other.quota.unit is Unit.BUCKETS
            and other.quota.name != line.quota.name
            and other.standing is Standing.CALLER
        } - {line.partition}
        groups = [self.profile(charge, name) for name in others]
        return any(isinstance(one, Group) and one.score(now) >= SUSPECT_SCORE for one in groups)

    def reserve(self, charge: Charge, now: int) -> Expected:
        """Return the decision; a line that is not charged holds -1."""
        views = [self.view(charge, line, now) for line in charge.lines]
        seen = [(line, view) for line, view in zip(charge.lines, views, strict=True) if view]
        real = [view for line, view in seen if not line.shadow]
        shadows = [view for line, view in seen if line.shadow]
        price = ceil(Fraction(charge.price * max((v.price for v in real), default=MICRO), MICRO))
        short: list[Line] = []
        costs: list[int] = []
        for line, view in zip(charge.lines, views, strict=True):
            room = self.left(line.partition, line.quota, now)
            if view:
                costs.append(view.amount)
                fits = view.stage is not Stage.REFUSE
            else:
                costs.append(min(cost(line, line.amount, price), room))
                fits = cost(line, line.minimum, price) <= room
            if not fits:
                short.append(line)
        refused = any(not line.shadow for line in short)
        held = tuple(
            -1 if line.shadow and short and not line.quota.apart else amount
            for line, amount in zip(charge.lines, costs, strict=True)
        )
        if not refused:
            self._hold(charge, views, held, price, now)
        return Expected(
            None if refused else held,
            price,
            max((view.stage for view in real), default=Stage.NONE),
            0 if refused else max((view.delay for view in real), default=0),
            max((view.price for view in shadows), default=MICRO),
            max((view.stage for view in shadows), default=Stage.NONE),
        )

    def _hold(
        self,
        charge: Charge,
        views: Sequence[View | None],
        held: tuple[int, ...],
        price: int,
        now: int,
    ) -> None:
        for line, view, amount in zip(charge.lines, views, held, strict=True):
            if view:
                only = line.response is not None and line.response.suspects is not None
                keeper = charge.profiled[0] if only else line.partition
                self._keep_stage(charge, line, keeper, view.entered)
            if amount >= 0:
                log = self.log(line.partition, line.quota)
                log.charge(charge.id, amount, now, now + charge.ttl)
        known = {line.partition for line in charge.lines}
        self.held[charge.id] = OpenReservation(charge, held, now + charge.ttl, price, known)
        if charge.observation:
            identity, *groups = [self.profile(charge, name) for name in charge.profiled]
            assert isinstance(identity, CallerProfile), "an identity comes first"
            change = identity.observe(charge.observation, now, verified=charge.verified)
            for group in groups:
                if change is not None and isinstance(group, Group):
                    group.add(change, now)

    def _keep_stage(self, charge: Charge, line: Line, partition: str, stage: Stage) -> None:
        stages = self.profile(charge, partition).stages
        if stage is Stage.NONE:
            stages.pop(line.quota.key, None)
        else:
            stages[line.quota.key] = stage

    def _score(self, charge: Charge, profile: CallerProfile | Group, now: int) -> int:
        """Return a score, calibrated; 0 is no score, and stays 0."""
        return moved(profile.score(now), self._shift(charge))

    def _shift(self, charge: Charge) -> int:
        if charge.calibration is None:
            return 0
        group = self.profile(charge, charge.calibration.partition)
        assert isinstance(group, Group), "a group calibrates"
        return group.shift(charge.calibration)

    def settle(self, name: str, amounts: Sequence[int], now: int) -> Settled:
        """Return what settling a reservation at `amounts` must answer."""
        entry = self.held[name]
        expires = entry.expires
        known, entry.known = entry.known, set()
        if not known or now >= expires + DAY:
            return Settled.REPEATED
        late = now >= expires
        for line, held, amount in zip(entry.charge.lines, entry.held, amounts, strict=True):
            if held < 0 or line.partition not in known:
                continue
            log = self.log(line.partition, line.quota)
            lease = line.quota.algorithm is Algorithm.LEASE
            used = cost(line, amount, entry.price)
            if line.quota.unit is Unit.BUCKETS:
                used = held if amount else 0
            difference = used - held
            if lease or difference > 0 or not late:
                log.correct(name, difference, now)
        return Settled.LATE if late else Settled.DONE

    def renew(self, name: str, ttl: int, now: int) -> int:
        """Return when a reservation that is renewed must expire; 0 if it is not known."""
        entry = self.held[name]
        if not entry.known or now >= entry.expires + DAY:
            return 0
        entry.expires = now + ttl
        for line, held in zip(entry.charge.lines, entry.held, strict=True):
            if held >= 0 and line.partition in entry.known:
                self.log(line.partition, line.quota).renew(name, entry.expires)
        return entry.expires

    def forget(self, partition: str) -> None:
        self.logs = {key: log for key, log in self.logs.items() if key[0] != partition}
        self.profiles.pop(partition, None)
        for entry in self.held.values():
            entry.known.discard(partition)


def cost(line: Line, amount: int, price: int) -> int:
    """Return `amount` at `price`, rounded up. A lease is one lease at any price."""
    if line.quota.algorithm is Algorithm.LEASE:
        return amount
    return ceil(Fraction(amount * price, MICRO))
