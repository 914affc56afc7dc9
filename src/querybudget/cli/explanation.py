"""What a policy makes of one request: the same steps as the middleware's, on accounts of its own.

The real `Limiter` decides, on a memory store that lives as long as the question. No store of the
policy is opened, and nothing is changed anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from querybudget.adapters.base import UNREADABLE, Adapter, Call, read_call
from querybudget.cli.check import pooled
from querybudget.coverage import Observation
from querybudget.errors import BodyError
from querybudget.ledger import Line, LineStatus
from querybudget.limiter import Admission, Limiter, Refusal
from querybudget.policy.model import Budget, EstimateSettings, Policy
from querybudget.stores import MemoryStore, system_clock
from querybudget.text import limit, number
from querybudget.units import Unit

__all__ = ["Asked", "Explained", "Explanation", "explained"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to explain: as a server would see it."""

    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    client: str = "127.0.0.1"
    body: bytes = b""

    @property
    def scope(self) -> Mapping[str, Any]:
        """The request's ASGI scope."""
        return {
            "type": "http",
            "method": self.method,
            "path": self.path,
            "root_path": "",
            "query_string": b"",
            "headers": list(self.headers),
            "client": (self.client, 0),
        }


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What one budget says. Amounts are in the budget's unit.

    Attributes:
        name: The budget's name.
        limit: Its limit, in words, scaled for the caller's tier.
        per: What it is pooled over, in words.
        mode: ``enforce`` or ``shadow``.
        unit: What is counted.
        applies: Whether it is for this call.
        why_not: Why it is not; empty where it is.
        cost: What the call holds; of buckets, where all that it asks is new.
        least: The part of `cost` that is sure, which must fit.
        left: What a caller who has used nothing would have left: after this call where it fits, and
            without it where it does not. None where it does not apply, or nothing was decided.
        verdict: What this budget alone says; empty where nothing was decided.
    """

    name: str
    limit: str
    per: str
    mode: str
    unit: str
    applies: bool
    why_not: str = ""
    cost: int | float = 0
    least: int | float = 0
    left: int | float | None = None
    verdict: str = ""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy makes of one request.

    Attributes:
        verdict: ``admit``, ``wait``, ``never``, ``unpriced``; ``untouched`` where no budget is for
            its method and path.
        because: In a sentence.
        identity: How the caller is known.
        tier: The caller's tier.
        operation: What is asked.
        model: Of which model.
        stream: Whether as a stream.
        tokens: Tokens expected: input and output.
        estimated: How they were estimated.
        looked: Whether any budget wants to know what the prompt is about.
        embedded: Whether that could be found out.
        capabilities: Those that the prompt is of.
        budgets: In the order of the policy.
    """

    verdict: str
    because: str
    identity: str = ""
    tier: str = ""
    operation: str = ""
    model: str = ""
    stream: bool = False
    tokens: tuple[int, int] = (0, 0)
    estimated: str = ""
    looked: bool = False
    embedded: bool = False
    capabilities: tuple[str, ...] = ()
    budgets: tuple[Explained, ...] = ()


async def explained(policy: Policy, asked: Asked) -> Explanation:
    """Decide a request of a caller who has used nothing yet, and say why."""
    clock = system_clock()
    store = MemoryStore(clock, max_identities=max(10, policy.max_identities))
    # With a hook there, tokens are estimated even where no budget counts them.
    limiter = Limiter(policy, store=store, clock=clock, hooks=[lambda _: None])
    try:
        return await _decided(limiter, asked)
    finally:
        await limiter.aclose()


async def _decided(limiter: Limiter, asked: Asked) -> Explanation:
    route = limiter.route(asked.method, asked.path)
    if route is None:
        return _untouched(limiter.policy, asked)
    call, note = None, ""
    if route.adapter is not None:
        call = read_call(route.adapter, asked.path, asked.body)
        if call.operation == UNREADABLE:
            hint = "" if asked.body else "give one with --request: "
            note = f"the body cannot be read ({hint}{_problem(route.adapter, asked)}); "
    admission = await limiter.admit(
        limiter.caller(asked.scope), route, asked.method, asked.path, call
    )
    return _explanation(limiter, admission, asked, note)


def _problem(adapter: Adapter, asked: Asked) -> str:
    try:
        adapter.parse(asked.path, asked.body)
    except BodyError as error:
        return str(error)
    return ""


def _explanation(limiter: Limiter, admission: Admission, asked: Asked, note: str) -> Explanation:
    call, usage, decision = admission.call, admission.estimate.usage, admission.decision
    observation = admission.observation or Observation()
    able = limiter.matcher.names(observation.capabilities)
    lines = limiter.matcher.lines(
        admission.caller, admission.plan, call, admission.estimate, observation.capabilities
    )
    statuses: Sequence[LineStatus | None] = decision.lines if decision else [None] * len(lines)
    found = {
        matched.budget.name: _applying(matched.budget, line, status, observation)
        for matched, line, status in zip(admission.plan.budgets, lines, statuses, strict=True)
    }
    verdict, because = _verdict(admission)
    return Explanation(
        verdict=verdict,
        because=because,
        identity=admission.caller.identity.source,
        tier=admission.caller.tier,
        operation=call.operation,
        model=call.model,
        stream=call.stream,
        tokens=(usage.input, usage.output),
        estimated=note + _estimated(call, limiter.policy.estimate, usage.output),
        looked=admission.observation is not None,
        embedded=bool(observation.cells),
        capabilities=able,
        budgets=tuple(
            found.get(budget.name)
            or _idle(budget, _why_not(budget, asked, call, admission.caller.tier, able))
            for budget in limiter.policy.budgets
        ),
    )


def _applying(
    budget: Budget, line: Line, status: LineStatus | None, observation: Observation
) -> Explained:
    # A line of buckets says what one new bucket counts; to this caller, all are new.
    buckets = line.quota.unit is Unit.BUCKETS
    cost = line.amount * len(observation.cells) if buckets else line.amount
    return Explained(
        name=budget.name,
        limit=limit(line.quota),
        per=pooled(budget),
        mode=budget.mode,
        unit=line.quota.unit,
        applies=True,
        cost=number(cost),
        least=number(cost if buckets else line.minimum),
        left=_left(line.quota.capacity, cost, status) if status else None,
        verdict=status.verdict.name.lower() if status else "",
    )


def _left(capacity: int, cost: int, status: LineStatus) -> int | float:
    return number(capacity if status.verdict else max(0, capacity - cost))


def _idle(budget: Budget, why: str) -> Explained:
    return Explained(
        name=budget.name,
        limit=limit(budget.quota),
        per=pooled(budget),
        mode=budget.mode,
        unit=budget.quota.unit,
        applies=False,
        why_not=why,
    )


def _why_not(
    budget: Budget, asked: Asked, call: Call | None, tier: str, able: tuple[str, ...]
) -> str:
    match = budget.match
    checks = [
        ("path", match.path, asked.path),
        ("method", match.method, asked.method),
    ]
    if call is not None:
        checks += [
            ("model", match.model, call.model),
            ("operation", match.operation, call.operation),
        ]
        checks.append(("tier", match.tier, tier))
    for word, patterns, text in checks:
        if patterns and not any(fnmatchcase(text, pattern) for pattern in patterns):
            return f"it is for {word} {' or '.join(patterns)}; this is {text or 'none'}"
    if call is not None and match.stream is not None and match.stream != call.stream:
        return "it is for streams only" if match.stream else "it is not for streams"
    if call is not None and match.capability and not set(match.capability) & set(able):
        about = ", ".join(able) or "none"
        return f"it is for capability {' or '.join(match.capability)}; this is {about}"
    if call is not None and budget.quota.unit is Unit.BUCKETS:
        return "nothing is asked here that could be embedded"
    return "it does not match"


def _untouched(policy: Policy, asked: Asked) -> Explanation:
    exempt = [pattern for pattern in policy.exempt if fnmatchcase(asked.path, pattern)]
    if exempt:
        because = f"the path is exempt: `exempt` has {exempt[0]}"
    else:
        because = "no budget is for this method and path, so the request is passed on as it is"
    return Explanation(
        verdict="untouched",
        because=because,
        budgets=tuple(
            _idle(budget, "the path is exempt" if exempt else _why_not(budget, asked, None, "", ()))
            for budget in policy.budgets
        ),
    )


def _verdict(admission: Admission) -> tuple[str, str]:
    decision = admission.decision
    if admission.refusal is Refusal.UNPRICED or decision is None:
        return "unpriced", "a money budget applies, and no price under `models` matches the model"
    shadowed = decision.shadowed
    would = f"; in shadow, {', '.join(shadowed)} would have refused it" if shadowed else ""
    if decision.admitted:
        return "admit", f"every enforced budget has room for it{would}"
    never = f"{', '.join(decision.violated)} can never hold a call as large as this{would}"
    return decision.verdict.name.lower(), never


def _estimated(call: Call, settings: EstimateSettings, output: int) -> str:
    if call.operation == "other":
        return "no model is asked on this path, so it counts as one request"
    rate = number(settings.bytes_per_token)
    prompt = f"{call.input_bytes} bytes of prompt at {rate} bytes per token"
    if call.input_tokens:
        prompt += f", and {call.input_tokens} tokens sent as such"
    if call.images:
        pictures = "picture" if call.images == 1 else "pictures"
        prompt += f", and {call.images} {pictures} of {settings.image_tokens} tokens"
    if not call.generates:
        return f"{prompt}; nothing is generated"
    answers = call.items * call.choices
    many = f", for each of {answers} answers" if answers > 1 else ""
    if call.max_output is not None:
        return f"{prompt}; at most {call.max_output} tokens generated, as the request says{many}"
    each = output // answers
    return (
        f"{prompt}; {each} tokens generated, as `estimate.output_tokens` says of a caller without"
        f" history{many}"
    )
