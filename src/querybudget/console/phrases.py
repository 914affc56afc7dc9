"""Figures, reasons and decisions in words, for people who watch the server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from querybudget.admin.protocol import PoolUse
from querybudget.coverage import Reason, Touched
from querybudget.coverage.response import SUSPECT_SCORE
from querybudget.overrides import ANY_BUDGET, SWITCHES, Effect, Override
from querybudget.text import amount, dollars, duration, moment, number, unit_name
from querybudget.traffic.record import TrafficRecord
from querybudget.units import MICRO, SECOND, Unit

EVIDENCE = {
    "template": "system prompts that are alike",
    "attribute": "the same declared attribute",
    "conduct": "conduct: too many of those who share this look like a sweep",
    "timing": "timing: calls in the same quarters of hours",
    "displacement": "displacement: begins when another was slowed and stops",
    "ground": "ground: shared out, or taken up where another stopped",
}
"""What each kind of evidence for a link is, for people."""

MEMBERS = "members"
"""The signal of a pool: how many of its members are suspect."""

POPULATION = "population"
"""The signal of a population test: how many members of a pool stand out."""

SHORT = 8
"""Characters that are shown of a hash."""

_HASH = re.compile(r"[0-9a-f]{16,}")
_UNITS = frozenset(Unit)
_LAST = 253_402_300_799
"""The last second of the year 9999: a date says no later one."""
_ORDINARY = frozenset((0, MICRO))
"""Prices of calls that new ground does not make dearer; 0 is that of a call without a price."""

REASONS = {
    "persistence": "It jumps from subject to subject and does not stay on one.",
    "wording": "Nearly every prompt brings new words.",
    "manner": "Its prompts are phrased like those of a data set.",
    "abilities": "It asks for nearly everything that the model can do.",
    "direction": "Its prompts lean where data sets lean.",
    MEMBERS: "Many of its members are suspect.",
    POPULATION: "Its pool has more members with such evidence than honest callers explain.",
}
_AGAINST = {
    "persistence": "It stays on its subjects.",
    "wording": "It keeps using the words that it has used.",
    "manner": "Its prompts are phrased as people phrase them.",
    "abilities": "It asks for few of the things that the model can do.",
    "direction": "Its prompts do not lean where data sets lean.",
}
VERDICTS = {
    "admit": "admitted",
    "wait": "refused",
    "never": "refused for good",
    "unpriced": "refused, no price",
    "store_error": "store down",
    "too_many_delayed": "refused, too many delayed",
    "blocked": "blocked",
}
STAGES = {"none": "", "slow": "slowed", "degrade": "degraded", "refuse": "refused as abnormal"}
_WHY = {
    "wait": "Refused for now.",
    "never": "Refused for good: it asks for more than the budget ever grants.",
    "unpriced": "Refused: a budget in money applies, and the model has no price.",
    "store_error": "The store did not answer, so `on_store_error` of each budget decided.",
    "too_many_delayed": "Refused: it was to be delayed, and too many calls were delayed already.",
    "blocked": "Refused: an operator has blocked this caller.",
    "": "Nothing was decided about it.",
}
_ENDS = {
    "late": "Its reservation had expired, so only what it used above its estimate was charged.",
    "repeated": "It had been settled before, so nothing changed.",
    "deferred": "The store is down. It is settled when the store answers again.",
    "failed": "Nothing was held for it, because the store was down when it was admitted.",
}


def pool_words(pool: PoolUse) -> list[str]:
    """Say what a pool that a caller spends with others has left, and what is done to its calls."""
    stage = f"{STAGES[pool.stage]}, " if STAGES.get(pool.stage) else ""
    scored = f", {stage}score {pool.score / MICRO:.2f}" if pool.score or stage else ""
    return [
        f"pool {short(pool.account)}, {one.budget}: {figure(one.remaining, one.unit)} of"
        f" {figure(one.limit, one.unit)} {unit_words(one.unit)} left{scored}"
        f"{' (shadow)' * one.shadow}"
        for one in pool.budgets
    ]


def short(key: str) -> str:
    """An account's key with its hashes cut, as people compare them."""
    return _HASH.sub(lambda found: found[0][:SHORT], key)


def whose(override: Override) -> str:
    """For whom an override is, cut as `short` does."""
    switch = override.effect in SWITCHES
    return f"everybody ({override.account})" if switch else short(override.account)


def figure(value: int, unit: str) -> str:
    """An amount in µ-units, as a rounded number: ``1,200``, ``$4.20``, ``-3``."""
    if unit == Unit.USD:
        return dollars(value, 2 if abs(value) >= MICRO or not value else 4)
    whole = value // MICRO if value >= 0 else -(-value // MICRO)
    rest = value % MICRO
    return f"{value / MICRO:,.1f}" if rest and abs(value) < 10 * MICRO else f"{whole:,}"


def unit_words(unit: str) -> str:
    """A unit in a sentence: ``input tokens``."""
    return unit_name(Unit(unit)) if unit in _UNITS else unit


def percent(share: int, places: int = 0) -> str:
    """A share in millionths in percent: ``70 %``."""
    return f"{share / 10_000:.{places}f} %"


def factor(value: int) -> str:
    """A factor in millionths, with two decimal places at most: ``1.5``."""
    return f"{round(value / MICRO, 2):g}"


def clock_time(time: int) -> str:
    """A moment as ``26 Nov 12:03:11``, in UTC; empty for none."""
    if not time:
        return ""
    return datetime.fromtimestamp(min(time // SECOND, _LAST), UTC).strftime("%-d %b %H:%M:%S")


def ago(time: int, now: int) -> str:
    """How long ago a moment is, in one unit: ``3 min ago``; or how far ahead: ``in 2 h``."""
    if not time:
        return "never"
    apart = abs(now - time) // SECOND
    for length, word in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if apart >= length:
            spoken = f"{apart // length} {word}"
            return f"{spoken} ago" if now >= time else f"in {spoken}"
    return "now"


def reason_words(reason: Reason) -> str:
    """What a reason says about a caller."""
    words = REASONS if reason.share >= 0 else _AGAINST
    return words.get(reason.signal, f"{reason.signal}.")


def touched_words(touched: Mapping[str, Touched]) -> list[str]:
    """What the population tests of budgets say of a caller."""
    return [
        f"Its pool has {one.observed:,} members with evidence this high, and would have"
        f" {one.expected:,} if all were honest (budget {name})."
        for name, one in touched.items()
    ]


def score_words(score: int) -> str:
    """What a sweep score means."""
    if score >= MICRO:
        return "as suspect as a caller whose bucket budget is spent"
    if score >= SUSPECT_SCORE:
        return "suspect: budgets of buckets slow such callers, unless the policy says otherwise"
    return "above that of most callers" if score >= MICRO // 2 else "an ordinary caller"


def evidence_words(reasons: Mapping[str, float]) -> str:
    """Return why an account is linked, in words, with the weight of each kind in nats."""
    found = sorted(reasons.items(), key=lambda reason: -reason[1])
    return "; ".join(f"{EVIDENCE.get(kind, kind)} ({nats:.1f})" for kind, nats in found)


def override_words(override: Override) -> str:
    """What an override does, without its account and its end."""
    budget = "all budgets" if override.budget == ANY_BUDGET else override.budget
    if override.effect is Effect.BLOCK:
        return "blocked: every call is refused"
    if override.effect is Effect.ALLOW:
        one = override.budget != ANY_BUDGET
        return f"allowed: {budget} count{'s' * one} and refuse{'s' * one} nothing"
    if override.effect in SWITCHES:
        enforced = override.effect is Effect.ENFORCE
        return f"{'enforced' if enforced else 'in shadow'}: {budget}, in place of its own mode"
    changes = list[str]()
    if override.limit:
        changes.append(f"limit {_amount(override.limit, override.budget)}")
    if override.factor != MICRO:
        changes.append(f"limit times {factor(override.factor)}")
    if override.amount:
        sign = "+" if override.amount > 0 else ""
        changes.append(f"{sign}{_amount(override.amount, override.budget)} more")
    return f"{budget}: {', '.join(changes) or 'unchanged'}"


def _amount(value: int, unit: str) -> str:
    return dollars(value) if unit == Unit.USD else f"{number(value):,}"


def verdict_words(record: TrafficRecord) -> str:
    """What was decided, in a word or two."""
    if record.verdict == "admit" and record.stage != "none":
        return STAGES.get(record.stage, record.stage)
    return VERDICTS.get(record.verdict, record.verdict or "unknown")


def tone(record: TrafficRecord) -> str:
    """How much a decision matters: ``ok``, ``warn`` or ``bad``."""
    if record.verdict == "admit":
        return "ok" if record.stage == "none" else "warn"
    return "warn" if record.verdict in {"", "store_error"} else "bad"


def sentences(record: TrafficRecord) -> Iterator[str]:
    """What was decided about a call and why, one sentence after another."""
    yield from _asked(record)
    yield from _decided(record)
    yield from _shadowed(record)
    yield from _used(record)


def _asked(record: TrafficRecord) -> Iterator[str]:
    model = f"the model {record.model}" if record.model else "no model"
    kind = f" ({record.operation}{', as a stream' if record.stream else ''})"
    yield (
        f"At {moment(record.at)} the caller {short(record.identity) or 'unknown'}, known by"
        f" {record.source}, of tier {record.tier}, asked for {model}: {record.method}"
        f" {record.path}{kind if record.operation else ''}."
    )
    if record.capabilities:
        yield f"It asked for {', '.join(record.capabilities).replace('_', ' ')}."
    if record.opaque:
        yield f"It held what cannot be read: {', '.join(record.opaque).replace('_', ' ')}."


def _decided(record: TrafficRecord) -> Iterator[str]:
    signals = {reason.signal for reason in record.reasons}
    pooled = MEMBERS in signals
    if record.verdict == "admit":
        yield "It was admitted."
    else:
        yield _WHY.get(record.verdict, f"It was decided: {record.verdict}.")
    if record.violated:
        yield f"Budgets that refused it: {', '.join(record.violated)}."
    if record.wait:
        yield f"It would have fitted after {duration(record.wait)}."
    if record.stage == "slow":
        yield f"It was delayed by {duration(record.delay)}, because {_suspected(signals)}."
    elif record.stage != "none":
        yield f"It was {STAGES.get(record.stage, record.stage)}: {_suspected(signals)}."
    if record.strain:
        yield f"Strain was {percent(record.strain)}, from {_strained_by(record, pooled=pooled)}."
    yield from touched_words(record.touched)
    if record.price not in _ORDINARY:
        yield f"Its price was {factor(record.price)} times the ordinary one."
    if record.novelty:
        entered = "entered" if record.settlement else "would have entered"
        yield f"It {entered} {record.novelty} bucket{'s' * (record.novelty > 1)} of new ground."


def _suspected(signals: set[str]) -> str:
    """Who looks like a sweep, by what brought about a stage: a pool, a population test, a score."""
    if MEMBERS in signals:
        return "what it shares with others, such as a system prompt, looks like a sweep"
    if signals == {POPULATION}:
        return "it and others of its pool together look like a sweep"
    return "the caller looks like a sweep"


def _strained_by(record: TrafficRecord, *, pooled: bool) -> str:
    """What the highest strain comes from: a score of that height, or else a share of a limit.

    There are reasons only if a score caused a stage, so none says nothing of the strain.
    """
    accounts = [name for name, score in record.scores.items() if score == record.strain]
    touched = any(one.score == record.strain for one in record.touched.values())
    if not (accounts or touched or (record.reasons and not record.scores)):
        return "the share of its bucket budget that is spent"
    if touched and not accounts:
        return "the population test of its pool"
    others = accounts and not any(record.identity in name for name in accounts)
    return "the pool's score" if pooled or others else "its score"


def _shadowed(record: TrafficRecord) -> Iterator[str]:
    if record.shadowed:
        yield f"Shadow budgets that would have refused it: {', '.join(record.shadowed)}."
    if record.shadow_stage != "none":
        stage = STAGES.get(record.shadow_stage, record.shadow_stage)
        yield f"In shadow, it would have been {stage}."
    if record.shadow_price not in _ORDINARY:
        price = factor(record.shadow_price)
        yield f"In shadow, its price would have been {price} times the ordinary one."


def _used(record: TrafficRecord) -> Iterator[str]:
    held = record.expected
    if held.input or held.output:
        yield f"It was expected to use {held.input:,} tokens in and {held.output:,} out."
    if record.usage is not None:
        said = ", by an estimate" if record.usage.estimated else ""
        yield f"It used {record.usage.input:,} tokens in and {record.usage.output:,} out{said}."
    if record.status:
        yield f"The application answered {record.status} after {duration(record.duration)}."
    if record.settlement in _ENDS:
        yield _ENDS[record.settlement]
    if record.store == "local":
        yield "This worker decided alone, because the store was down."


def charged_words(charged: int, unit: str) -> str:
    """What a budget was charged: ``1,200 tokens``."""
    return amount(charged, Unit(unit)) if unit in _UNITS else str(number(charged))
