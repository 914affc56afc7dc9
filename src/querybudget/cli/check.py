"""`querybudget check`: every problem of a policy or, if there is none, what the policy says."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import replace

from querybudget.cli.check_outputs import output_warnings, outputs
from querybudget.cli.tier_text import STAGES, tiers
from querybudget.coverage.response import BucketResponse, Stage
from querybudget.embedding.kernel import KERNEL
from querybudget.errors import PolicyError, SetupError
from querybudget.limiter.analysis import analyzer_for
from querybudget.policy.adaptive import Adaptive
from querybudget.policy.carriers import shown
from querybudget.policy.diagnostics import Problems
from querybudget.policy.match import OPAQUE
from querybudget.policy.model import (
    CAPABILITIES,
    Budget,
    Capability,
    Embedding,
    Missing,
    Mode,
    Policy,
    ResolverSpec,
    StreamUsage,
)
from querybudget.policy.prices import ModelPrice, completed_price
from querybudget.policy.routes import Unknown
from querybudget.policy.servers import DEFAULT, routes, server_file
from querybudget.policy.yaml_nodes import from_text
from querybudget.stores import open_store, system_clock
from querybudget.text import limit, number, share, span
from querybudget.units import MICRO, Unit

MISSING = {
    Missing.APART: "are each on their own in its budgets",
    Missing.SHARED: "share one account in its budgets",
    Missing.REFUSE: "are refused by its budgets",
}
_STREAMS = {
    StreamUsage.ASK: "asked for their usage where tokens or money count",
    StreamUsage.LEAVE: "not asked for their usage: reasoning that is not shown counts as nothing",
}
_UNKNOWN = {
    Unknown.COUNT: "counted, each as one request and no tokens",
    Unknown.REFUSE: "refused with status 404",
    Unknown.PASS: "passed through uncounted",
}

_USUAL = "/v1/chat/completions"
_BILLERS = frozenset({"anthropic", "gemini", "litellm", "openai"})
_REPORTED = {
    "cache_write": frozenset({"anthropic", "litellm"}),
    "cache_write_1h": frozenset({"anthropic", "litellm"}),
    "audio_input": _BILLERS - {"anthropic"},
    "image_input": _BILLERS - {"anthropic"},
    "audio_output": _BILLERS - {"anthropic"},
    "image_output": _BILLERS - {"anthropic"},
    "search": frozenset({"anthropic", "litellm"}),
}
"""The servers that report each kind of usage which has a price of its own."""


def check(path: str) -> int:
    """Load a policy and print what it says, with warnings on standard error.

    Raises:
        PolicyError: The policy is wrong, or no store has such a URL.
    """
    policy = Policy.load(path)
    try:
        open_store(policy.store, system_clock())  # connects to nothing
    except SetupError as error:
        raise _store_problem(path, error) from None
    has = [_count(len(policy.budgets), "budget")]
    has += [_count(len(policy.tests), "test")] * bool(policy.tests)
    print(f"{path} is valid and has {' and '.join(has)}")
    width = max(len(budget.name) for budget in policy.budgets)
    for budget in policy.budgets:
        print(f"  {budget.name:{width}}  {_described(budget)}")
        for sentence in _responding(budget) if budget.response else ():
            print(f"  {'':{width}}  {sentence}")
    print(f"callers are identified by {_identity(policy)}")
    print(f"server: {', '.join(policy.server) or 'any'}")
    for line in _brought(policy):
        print(f"  {line}")
    for line in _apart(policy):
        print(line)
    if policy.counts_buckets:
        print(f"prompts are embedded by {_embedding(policy.embedding)}")
        if policy.adaptive is not None:
            print(_adapting(policy.adaptive))
        print(f"capabilities: {', '.join(_ability(each) for each in policy.capabilities)}")
    for line in outputs(policy):
        print(line)
    for warning in (*warnings(policy), *_missing(policy), *output_warnings(policy)):
        print(f"{path}: warning: {warning}", file=sys.stderr)
    return 0


def _apart(policy: Policy) -> Iterator[str]:
    """What is different for some callers, one line for each kind."""
    for name, partition in policy.partitions.items():
        yield f"callers without {name} {MISSING[partition.missing]}"
    yield from tiers(policy)
    overrides = [f"{len(policy.overrides)} in the policy"] * bool(policy.overrides)
    overrides += [f"those of {each.target}" for each in policy.override_sources]
    if overrides:
        yield f"overrides: {', '.join(overrides)}, and what operators add to the store"
    if (linking := policy.linking) is not None:
        by = ", ".join(("system prompt", *linking.attributes))
        who = "a worker" if linking.background else "`querybudget link`"
        says = "in shadow" if linking.mode is Mode.SHADOW else "for budgets `per: group`"
        yield f"accounts are linked by {by} and how they behave, {says}, by {who}"


def _store_problem(path: str, error: SetupError) -> PolicyError:
    """Return what is wrong with a store as a problem at its line."""
    problems = Problems(path)
    from_text(Path(path).read_text("utf-8-sig"), os.environ, problems)
    where = ("store", "url") if problems.mapping(("store",)) else ("store",)
    (problem,) = problems.stop(where, "").problems
    return PolicyError((replace(problem, message=str(error)),))


def _brought(policy: Policy) -> Iterator[str]:
    """What the policy's servers bring, one line for each."""
    for name in policy.server:
        known = server_file(name)
        yield f"{name}: {_count(len(known.routes), 'route')} read; keys in {', '.join(known.keys)}"
        yield f"{name} streams: {known.streams}"
        if known.unread:
            yield f"{name} also asks models at paths that nothing reads: {', '.join(known.unread)}"
    if policy.probes:
        yield f"monitors pass at {', '.join(policy.probes)}"
    elif policy.exempt:
        yield f"exempt with any method: {', '.join(policy.exempt)}; monitors pass nowhere else"
    else:
        yield "no path is exempt, and monitors are counted too"
    yield f"requests with a body on other paths: {_UNKNOWN[policy.unknown]}"
    yield f"streams of OpenAI's dialect: {_STREAMS[policy.streams.usage]}"


def warnings(policy: Policy) -> Iterator[str]:
    """What is valid but probably not meant."""
    if not policy.secret:
        yield (
            "no `secret` is set, so each process generates its own, and callers have new pseudonyms"
            " in events after each restart (`openssl rand -hex 32` makes one)"
        )
    if all(budget.mode is Mode.SHADOW for budget in policy.budgets):
        yield "every budget is in shadow mode: no call is refused"
    money = [budget.name for budget in policy.budgets if budget.quota.unit is Unit.USD]
    if money and "*" not in policy.models:
        does = "is refused" if policy.unpriced == "refuse" else "is free (`unpriced: free` says so)"
        yield (
            f"{', '.join(money)}: a model that no pattern under `models` matches {does};"
            " a price for `*` would cover it"
        )
    yield from _too_small(policy)
    yield from _never_charged(policy)
    yield from _exempted(policy)
    by_model = [budget.name for budget in policy.budgets if "model" in budget.per]
    named = {*policy.models, *(name for budget in policy.budgets for name in budget.match.model)}
    if by_model and named <= {"*"}:
        yield (
            f"{', '.join(by_model)}: the policy names no model, so all share one account until two"
            " callers were answered of one; naming them under `models` gives each its own"
        )
    unused = [
        word
        for word, given, usual in (
            ("embedding", policy.embedding, Embedding()),
            ("capabilities", policy.capabilities, tuple(map(Capability, CAPABILITIES))),
        )
        if given != usual
    ]
    if unused and not policy.counts_buckets:
        yield (
            f"no budget uses `{'` and `'.join(unused)}`: none is in buckets, and none matches on a"
            " capability"
        )


def _too_small(policy: Policy) -> Iterator[str]:
    """Warn of limits in requests that one call exceeds at the highest price."""
    enforced = [budget for budget in policy.budgets if budget.mode is Mode.ENFORCE]
    caps = {budget.response.cap: budget.name for budget in enforced if budget.response}
    highest = max(caps, default=MICRO)
    small = [
        budget.name
        for budget in enforced
        if budget.quota.unit is Unit.REQUESTS and budget.quota.capacity < highest
    ]
    if small:
        price = number(highest)
        yield (
            f"{', '.join(small)}: the price of `{caps[highest]}` rises to {price}, so one call can"
            f" count as {price} requests, more than the limit: it is then refused until the price"
            " falls; a larger limit or a lower `cap` avoids this"
        )


def _never_charged(policy: Policy) -> Iterator[str]:
    """Warn of prices that no call can meet."""
    if not any(budget.quota.unit is Unit.USD for budget in policy.budgets):
        # Names under `models` may also give models accounts of their own.
        needed = any("model" in budget.per for budget in policy.budgets) or any(
            tier.when.history and tier.when.history.spent for tier in policy.tiers
        )
        if policy.models and not needed:
            yield "the prices under `models` charge nothing: no budget is in usd"
        return
    servers = frozenset(policy.server)
    for kind, reporting in _REPORTED.items():
        models = [name for name, price in policy.models.items() if _has_own(price, kind)]
        if models and servers and not servers & reporting:
            yield (
                f"`{kind}` of {', '.join(f'`{name}`' for name in models)} is never charged: no"
                f" answer of {' or '.join(policy.server)} reports it"
            )


def _exempted(policy: Policy) -> Iterator[str]:
    """Warn of patterns that exempt paths which ask a model; a path without wildcard is meant."""
    read = [
        route.path
        for route in (*policy.routes, *routes(policy.server), *server_file(DEFAULT).routes)
    ]
    prefixes = ("", "/v1")
    paths = [path.replace("*", each).replace("{model}", "m") for path in read for each in prefixes]
    for pattern in policy.exempt:
        found = next((path for path in (_USUAL, *paths) if fnmatchcase(path, pattern)), None)
        if found and set(pattern) & set("*?["):
            yield f"`exempt` has `{pattern}`, so no call of {found} is counted"


def _has_own(price: ModelPrice, kind: str) -> bool:
    """Return True if a kind of usage costs something else than it does by default."""
    written = {word for word in price.__struct_fields__ if word != kind}
    own: int = getattr(price, kind)
    usual: int = getattr(completed_price(replace(price, **{kind: 0}), written), kind)
    return own != usual


def pooled(budget: Budget) -> str:
    """Which calls share a budget's account: ``each identity and model``."""
    if budget.per == ("everyone",):
        return "everyone together"
    return "each " + " and ".join(budget.per)


def _responding(budget: Budget) -> Iterator[str]:
    """What happens as a budget in buckets is spent, one sentence for each effect."""
    response, of = budget.response or BucketResponse(), "spent" if budget.counted else "strain"
    if response.cap == MICRO:
        yield "the price of a call never rises"
    else:
        highest = number(response.price(MICRO))
        yield (
            f"the price of a call rises above {share(response.free)} {of}, up to {highest} times"
            f" ({response.curve})"
        )
    begins = [f"{STAGES[stage]} from {share(begin)}" for stage, begin in response.stages]
    if begins and response.stages[0][0] is Stage.SLOW:
        begins[0] += f" by up to {span(response.delay)}"
    if budget.counted and not response.suspects and Stage.REFUSE not in dict(response.stages):
        begins.append("refused if they need more than is left")
    if begins:
        yield f"calls are {', '.join(begins)}"
    if response.suspects is not None:
        slow, refuse = share(response.suspects.slow), share(response.suspects.refuse)
        yield (
            "only callers whom its population test touches spend it: suspect where at most"
            f" {slow} of those touched are honest, refused at {refuse} and on two kinds of evidence"
        )
        return
    if not budget.counted:
        yield "only the sweep score counts: nothing is spent"
    else:
        scored = "counts like a spent share" if response.scored else "does not count"
        yield f"the sweep score {scored}"


def _missing(policy: Policy) -> Iterator[str]:
    """What the embedding needs and this machine lacks; the server may have it."""
    try:
        analyzer = analyzer_for(policy, policy.secret or b"any")
    except SetupError as error:
        yield f"prompts cannot be embedded on this machine: {error}"
    else:
        if analyzer is not None:
            asyncio.run(analyzer.aclose())


def _described(budget: Budget) -> str:
    parts = [limit(budget.quota), pooled(budget)]
    if described := _matching(budget):
        parts.append(f"for {described}")
    parts.append("enforced" if budget.mode is Mode.ENFORCE else "shadow: refuses no call")
    return ", ".join(parts)


def _matching(budget: Budget) -> str:
    match = budget.match
    parts = [
        f"{word} {' or '.join(patterns)}"
        for word, patterns in (
            ("path", match.path),
            ("method", match.method),
            ("model", match.model),
            ("operation", match.operation),
            ("tier", match.tier),
            ("capability", match.capability),
        )
        if patterns
    ]
    if match.opaque:
        kinds = "" if match.opaque == OPAQUE else f" ({' or '.join(match.opaque)})"
        parts.append(f"calls that hold what cannot be read{kinds}")
    if match.stream is not None:
        parts.append("streamed calls" if match.stream else "calls that are not streamed")
    return " and ".join(parts)


def _identity(policy: Policy) -> str:
    known = [_resolved(spec) for spec in policy.identity]
    return f"{', then '.join(known)}; otherwise all share one anonymous account"


def _resolved(spec: ResolverSpec) -> str:
    if not spec.carriers:
        return f"{spec.kind} {spec.name}".strip()
    return f"{spec.kind} from {shown(spec.carriers)}"


def _embedding(embedding: Embedding) -> str:
    match embedding.kind:
        case "remote":
            return f"the embeddings of {urlsplit(embedding.url).netloc.rpartition('@')[2]}"
        case "static":
            form = "in Python" if KERNEL is None else "compiled"
            return f"the embedding in the package, {form}"
        case _:
            return f"the {embedding.kind} embedding {embedding.target}"


def _adapting(adaptive: Adaptive) -> str:
    known, disturb = adaptive.established, share(adaptive.disturb)
    return (
        f"the sweep score disturbs at most {disturb} of callers known for {span(known.age)} and"
        f" {known.calls} calls, once there are {adaptive.callers:,}"
    )


def _ability(capability: Capability) -> str:
    notes = [_count(len(capability.examples), "example")] if capability.examples else []
    if capability.weight != MICRO:
        notes.append(f"counts {number(capability.weight)} times")
    return f"{capability.name} ({', '.join(notes)})" if notes else capability.name


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
