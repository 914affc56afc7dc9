"""Calibrates a policy by a log: measures, proposes, writes, and checks by a replay."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from querybudget.errors import SetupError
from querybudget.limiter import PromptAnalyzer
from querybudget.policy.load import load_text
from querybudget.policy.model import Mode, Policy
from querybudget.replay.confidence import CONFIDENCE, upper_bound
from querybudget.replay.demand import Demand, measuring
from querybudget.replay.ordering import WINDOW
from querybudget.replay.policy_text import BLOCKS, rewritten, usual_text
from querybudget.replay.proposal import Part, Proposed, fit, part_of, propose
from querybudget.replay.replaying import NO_TEXTS, Replay, Report, without_texts
from querybudget.replay.results import Replayed
from querybudget.text import limit as limit_of
from querybudget.text import moment, share
from querybudget.traffic import Problem, TrafficRecord
from querybudget.units import MICRO

WIDENED = tuple(MICRO * percent // 100 for percent in (100, 105, 115, 130, 150, 200))
"""Factors that limits are tried with until a replay confirms them."""

COLUMNS = 100

Open = Callable[[], Iterable[TrafficRecord | Problem]]
"""Reads the log anew."""


class Calibrated(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal, and what a replay of the log under it does.

    Attributes:
        text: The policy, with comments.
        proposals: What it sets, by budget.
        usual: Whether its budgets are the usual ones, and no policy's.
        share: The share of identities that may ever be disturbed, in millionths.
        identities: Identities of the log.
        fitted: Those that set the limits.
        above: Those of them that are above a limit.
        disturbed: Identities that the replay disturbed.
        held_out: Identities that nothing was fitted to.
        held_out_disturbed: Those of them that the replay disturbed.
        bound: The largest share of all callers that this is consistent with, in percent.
        not_calibrated: Budgets that were left as they are, and why.
        malformed: Lines of the log that were passed over.
        late: Records that came too late to be put in order.
    """

    text: str
    proposals: tuple[Proposed, ...]
    usual: bool
    share: int
    identities: int
    fitted: int
    above: int
    disturbed: int
    held_out: int
    held_out_disturbed: int
    bound: float
    not_calibrated: dict[str, str]
    malformed: int
    late: int


class _Log(msgspec.Struct, frozen=True):
    """How the log is read each time."""

    items: Open
    names: Sequence[str]
    report: Report | None
    window: int
    analyzer: PromptAnalyzer | None

    def replay(self, policy: Policy, watch: Demand | None = None) -> tuple[Replay, Replayed]:
        """Replay it under a policy."""
        run = Replay(
            self.items(),
            [policy],
            logs=self.names,
            report=self.report,
            window=self.window,
            analyzer=self.analyzer,
            watch=watch.add if watch else None,
        )
        found = run.run()
        if found.interrupted:
            raise KeyboardInterrupt
        return run, found


def calibrate(
    items: Open,
    disturb: int,
    *,
    text: str = "",
    source: str = "<text>",
    logs: Sequence[str] = (),
    report: Report | None = None,
    window: int = WINDOW,
    analyzer: PromptAnalyzer | None = None,
) -> Calibrated:
    """Propose limits that disturb at most a share of the identities of a log.

    Args:
        items: Reads the log; it is read at least twice.
        disturb: The share, in millionths.
        text: The policy whose budgets get limits; by default, one with usual budgets.
        source: Its name in messages.
        logs: Names of the files.
        report: Called now and then with how far it is.
        window: Records that are held back to put them in order.
        analyzer: Analyzes texts; by default, the one that the policy needs.

    Raises:
        KeyboardInterrupt: It was interrupted.
        PolicyError: The policy is wrong.
        SetupError: Most of the log cannot be read, or a replay confirms no proposal.
        TooFewError: The log has too few identities for the share.
    """
    log = _Log(items, logs, report, window, analyzer)
    usual = not text
    policy = load_text(text or usual_text(), source)
    demand = Demand(policy)
    run, found = log.replay(measuring(policy), demand)
    if found.unreadable:
        raise SetupError(found.unreadable)
    if usual:
        text = usual_text(_measured(demand, ground=run.examined))
        policy = load_text(text, source)
    left_out = {} if run.examined else without_texts(policy, ground=False)[1]
    if len(left_out) == len(policy.budgets):
        raise SetupError(f"no budget of {source} can be calibrated by this log: {NO_TEXTS}")
    fitted = fit(demand, disturb)
    for widened in WIDENED:
        proposals = [
            Proposed(budget=one.budget, why=left_out[one.budget]) if one.budget in left_out else one
            for one in propose(policy, demand, fitted, widened)
        ]
        new = rewritten(text, policy, proposals)
        disturbed = _disturbed(log, load_text(new, source), proposals)
        if len(disturbed) * MICRO <= disturb * fitted.identities:
            break
    else:
        raise SetupError(
            "expected a replay to confirm the limits, found that they disturb more: the budgets"
            " depend on each other, as those do whose accounts callers share; calibrate fewer of"
            " them at once"
        )
    held_out = [key for key in demand.peaks if part_of(key) is Part.HELD_OUT]
    hit = sum(1 for key in held_out if key in disturbed)
    result = Calibrated(
        text=new,
        proposals=tuple(proposals),
        usual=usual,
        share=disturb,
        identities=fitted.identities,
        fitted=fitted.fitted,
        above=fitted.above,
        disturbed=len(disturbed),
        held_out=len(held_out),
        held_out_disturbed=hit,
        bound=100 * upper_bound(hit, len(held_out)),
        not_calibrated=left_out,
        malformed=found.malformed,
        late=found.late,
    )
    return replace(result, text=_commented(result, policy, found, demand))


def _measured(demand: Demand, *, ground: bool) -> Iterator[str]:
    """Names of the usual budgets that the log says something about."""
    known = {"tokens": demand.tokens, "parallel": demand.lasted, "breadth": ground}
    return (name for name in BLOCKS if known.get(name, True))


def _disturbed(log: _Log, policy: Policy, proposals: Sequence[Proposed]) -> set[str]:
    """Return the identities that a replay disturbs if everything proposed is enforced."""
    given_up = {one.budget for one in proposals if one.shadow}
    budgets = tuple(
        one if one.name in given_up else replace(one, mode=Mode.ENFORCE) for one in policy.budgets
    )
    plain = replace(policy, budgets=budgets, overrides=(), override_sources=())
    run, _ = log.replay(plain)
    return run.sides[0].tallies.callers_disturbed


def _commented(one: Calibrated, policy: Policy, log: Replayed, demand: Demand) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in _comments(one, policy, log, demand)) + (
        f"\n{one.text}"
    )


def _comments(one: Calibrated, policy: Policy, log: Replayed, demand: Demand) -> Iterator[str]:
    yield from _wrapped(
        f"Proposed by `querybudget calibrate` from {', '.join(log.logs) or 'a log'}:"
        f" {log.policy.calls:,} calls of {one.identities:,} callers, {moment(log.first)} to"
        f" {moment(log.last)}."
    )
    yield from _wrapped(
        f"With {CONFIDENCE:.0%} confidence, at most {share(one.share)} of such callers are ever"
        " refused, slowed, degraded, or priced above 1, if they go on as they did:"
        f" {one.above:,} of the {one.fitted:,} callers that set the limits are above them."
    )
    yield from _wrapped(
        f"In a replay with every budget enforced, {one.disturbed:,} of all {one.identities:,}"
        f" callers are disturbed, and {one.held_out_disturbed:,} of the {one.held_out:,} held out:"
        f" at most {one.bound:.3g} % of all callers, by these alone."
    )
    if demand.refused:
        yield from _wrapped(
            f"{demand.refused:,} calls were refused when the log was written: what their callers"
            " would have used is not known."
        )
    yield ""
    budgets = {budget.name: budget for budget in policy.budgets}
    for proposed in one.proposals:
        budget = budgets[proposed.budget]
        was = "" if one.usual else f"was {limit_of(budget.quota)}; "
        yield from _wrapped(f"{proposed.budget}: {was}{_said(proposed)}")


def _said(proposed: Proposed) -> str:
    if proposed.shadow:
        return (
            f"only in shadow, since its sweep score disturbs more at any threshold; {proposed.why}"
        )
    if not proposed.limit and not proposed.free:
        return f"left as it is: {proposed.why or 'nothing in the log is about it'}"
    return proposed.why


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS - 2, subsequent_indent="  ")
