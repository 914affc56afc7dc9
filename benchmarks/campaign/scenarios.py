"""What is simulated: one campaign and the honest callers beside it, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["FULL", "QUICK", "REPORTED", "Scenario", "Size", "scenarios"]

PER_DAY = 26
"""Calls of an account on a day, as reported of a campaign of 2026."""

EACH = 50
"""Prompts of each account: 50,000 prompts among 1,000 accounts."""

REPORTED = {"accounts": 25_000, "exchanges": 28_800_000, "days": 44}
"""The largest campaign that was reported, of 2026."""

POPULAR = 5_000
"""Users of a popular client."""

NEWCOMER, ESTABLISHED, CROWDS = 30, 90, 80_000
"""Calls of an honest newcomer, of an established caller, and of all crowds together, roughly."""

OTHERS = ("gpteacher", "plexpt_zh_questions", "agent_tasks", "jmmlu", "bbh")
"""Further broad sweeps, if the folder has them, of other sources and languages."""


@dataclass(frozen=True)
class Scenario:
    """One campaign.

    Attributes:
        name: Its name.
        accounts: Accounts of the campaign at once.
        corpus: The sweep; empty for the folder's largest broad one.
        each: Prompts of each account.
        per_day: Calls of each account a day, cover included.
        share: How prompts are shared out: ``random``, ``topic``, ``round_robin``.
        template: System prompts: ``none``, ``same``, ``word``, ``date``, ``paraphrase``.
        shared: The attribute that all accounts have in common: ``organisation``, ``network``,
            ``payment``, or none.
        rhythm: ``jittered``, ``hours``, ``synchronised``.
        cover: Share of calls that ask what an honest caller asks.
        quiet: Calls that do so before an account asks for anything else.
        replaced: Whether an account is replaced when a call is refused or degraded.
        newcomers: Honest newcomers for each account of the campaign.
        established: Honest established callers for each account of the campaign.
        crowds: Whether a popular client, a campus, a release day and firms are there too.
        days: Days simulated.
        stands_for: Accounts that each simulated account stands for.
    """

    name: str
    accounts: int = 1_000
    corpus: str = ""
    each: int = EACH
    per_day: float = PER_DAY
    share: str = "random"
    template: str = "none"
    shared: str = ""
    rhythm: str = "jittered"
    cover: float = 0.0
    quiet: int = 0
    replaced: bool = False
    newcomers: float = 1.0
    established: float = 0.5
    crowds: bool = False
    days: int = 10
    stands_for: float = 1

    @property
    def work(self) -> int:
        """How long it takes, in calls, roughly."""
        asked = self.quiet + self.each / max(0.01, 1 - self.cover)
        sweep = min(asked, self.per_day * self.days)
        beside = NEWCOMER * self.newcomers + ESTABLISHED * self.established
        return round(self.accounts * (sweep + beside)) + self.crowds * CROWDS


@dataclass(frozen=True)
class Size:
    """Size of a run. The field names are written to the result.

    Attributes:
        name: ``full`` or ``quick``.
        accounts: Accounts of a campaign.
        sampled: Of these, how many are simulated where goals are set; of others, `fewer`.
        fewer: See `sampled`.
        reported: Accounts of the reported campaign that are simulated.
        crowds: Users of a popular client that are simulated, of `POPULAR`; other crowds are in
            proportion.
        days: Days simulated.
        others: Further sweeps.
        variations: Whether campaigns are varied in one thing at a time.
    """

    name: str = "full"
    accounts: int = 1_000
    sampled: int = 400
    fewer: int = 100
    reported: int = 100
    crowds: int = 1_000
    days: int = 10
    others: int = len(OTHERS)
    variations: bool = True


FULL = Size()
QUICK = Size(
    name="quick",
    sampled=100,
    fewer=40,
    reported=25,
    crowds=160,
    days=6,
    others=1,
    variations=False,
)


def scenarios(size: Size, sweeps: tuple[str, ...] = OTHERS) -> list[Scenario]:
    """Return all scenarios of a run, those first that say most.

    Args:
        size: Size of the run.
        sweeps: Names of the broad sweeps in the folder.
    """
    base = _sampled(Scenario("nothing_shared", size.accounts, days=size.days), size.sampled)
    goals = [
        replace(base, name="organisation_shared", shared="organisation"),
        replace(base, name="template_word", template="word"),
        replace(base, name="template_paraphrase", template="paraphrase"),
        base,
        _hidden(replace(base, name="nothing_shared_2_percent")),
        replace(base, name="topic_each", share="topic"),
        replace(base, name="replaced", replaced=True),
        replace(base, name="quiet_beginning", quiet=25),
        replace(_few(size), name="honest_crowds", template="same", crowds=True),
        _as_reported(size),
        *(replace(base, name=f"{one}_shared", shared=one) for one in ("network", "payment")),
        *(replace(base, name=f"template_{one}", template=one) for one in ("same", "date")),
    ]
    return [*goals, *_other_sweeps(size, sweeps), *(_varied(size) if size.variations else ())]


def _hidden(scenario: Scenario) -> Scenario:
    """Return a campaign that is 2 % of all newcomers: a sample of it that is ten times smaller."""
    tenth = max(10, scenario.accounts // 10)
    return replace(_sampled(scenario, tenth), newcomers=49.0, established=3.0)


def _as_reported(size: Size) -> Scenario:
    accounts, days = REPORTED["accounts"], REPORTED["days"]
    return Scenario(
        "as_reported",
        size.reported,
        each=REPORTED["exchanges"] // accounts,
        newcomers=3.0,
        established=1.0,
        days=days,
        stands_for=accounts / size.reported,
    )


def _few(size: Size) -> Scenario:
    return _sampled(Scenario("", size.accounts, days=size.days), size.fewer)


def _sampled(scenario: Scenario, accounts: int) -> Scenario:
    """Return a scenario of which at most so many accounts are simulated."""
    kept = min(scenario.accounts, accounts)
    return replace(
        scenario, accounts=kept, stands_for=scenario.stands_for * scenario.accounts / kept
    )


def _other_sweeps(size: Size, sweeps: tuple[str, ...]) -> list[Scenario]:
    """Return the campaigns that say most, after sweeps of other sources and languages."""
    base = _few(size)
    kinds = {
        "template_word": replace(base, template="word"),
        "nothing_shared": base,
        "topic_each": replace(base, share="topic"),
    }
    return [
        replace(scenario, name=f"{name} of {corpus}", corpus=corpus)
        for corpus in sweeps[: size.others]
        for name, scenario in kinds.items()
    ]


def _varied(size: Size) -> list[Scenario]:
    """Return the campaign that shares nothing, varied in one thing at a time."""
    base = _few(size)
    varied = {
        "round_robin": replace(base, share="round_robin"),
        "working_hours": replace(base, rhythm="hours"),
        "synchronised": replace(base, rhythm="synchronised"),
        "four_a_day": replace(base, per_day=4.0),
    }
    for accounts in (1, 10, 100):
        beside = size.fewer / accounts  # as many honest callers as for the others
        varied[f"{accounts}_accounts"] = replace(
            base, accounts=accounts, newcomers=beside, established=beside / 2, stands_for=1
        )
    for percent in (50, 80, 95):
        varied[f"cover_{percent}"] = replace(base, cover=percent / 100)
    return [replace(scenario, name=name) for name, scenario in varied.items()]
