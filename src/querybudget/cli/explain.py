"""`querybudget explain`: what a policy makes of one request, for a terminal or as JSON.

The request goes through the middleware's own steps, on a memory store that lives as long as the
command. The policy's store is not opened, and nothing is charged.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from querybudget.adapters import adapter_for
from querybudget.adapters.base import SESSION, UNREADABLE, Adapter, Call, Channel, Target
from querybudget.adapters.routing import carries_body
from querybudget.asgi.body import BodyTooLarge, call_of, check_declared, decoded
from querybudget.asgi.health import READS
from querybudget.asgi.websocket import HANDSHAKE, message_call
from querybudget.cli.check import pooled
from querybudget.cli.explain_text import lines
from querybudget.cli.explanation import BudgetExplanation, Explanation, Reads, Request
from querybudget.console.phrases import override_words
from querybudget.coverage import Observation
from querybudget.coverage.caller import CallerProfile
from querybudget.errors import BodyError
from querybudget.ledger import Line, LineStatus
from querybudget.limiter import Admission, Limiter, Outcome, Refusal
from querybudget.limiter.conditions import Mismatch
from querybudget.limiter.plans import Caller
from querybudget.limiter.route import Route
from querybudget.limiter.scopes import WEBSOCKET, is_preflight, paths_of, target_of
from querybudget.overrides import Effect
from querybudget.policy.history import NEWCOMER
from querybudget.policy.linking import GROUP
from querybudget.policy.model import Budget, EstimateSettings, Missing, Mode, Partition, Policy
from querybudget.policy.routes import Unknown
from querybudget.redact import shown
from querybudget.stores import MemoryStore, system_clock
from querybudget.text import limit, number
from querybudget.units import Unit

MANY = 2
"""The nearest of a condition's patterns is named if there are more than this."""


def explain(path: str, request: Request, *, as_json: bool) -> int:
    """Print what the policy at `path` makes of a request.

    Returns:
        The exit status: 0 whatever the verdict, 1 if the body cannot be read.

    Raises:
        PolicyError: The policy is wrong.
    """
    explanation = asyncio.run(explain_request(Policy.load(path), request))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(explanation)).decode())
    else:
        print("\n".join(lines(request, explanation)))
    if not explanation.body_error:
        return 0
    print("querybudget: the request's body cannot be read", file=sys.stderr)
    return 1


async def explain_request(policy: Policy, request: Request) -> Explanation:
    """Decide a request of a caller with no usage, and explain the decision."""
    clock = system_clock()
    store = MemoryStore(clock, max_identities=max(10, policy.max_identities))
    # The hook makes the limiter estimate tokens even if no budget counts them.
    limiter = Limiter(policy.silent(), store=store, clock=clock, hooks=[lambda _: None])
    try:
        await limiter.feed.refresh()  # functions that return overrides
        return await _decide(limiter, request)
    finally:
        await limiter.aclose()


async def _decide(limiter: Limiter, request: Request) -> Explanation:
    policy, method, path = limiter.policy, request.method, request.path
    if limiter.rules.histories is not None and request.history is not NEWCOMER:
        key = limiter.caller_for(request.scope).identity.key
        limiter.rules.histories.assume(key, request.history)
    ours = {policy.health: "it is `health`", policy.metrics.prometheus: "it is `metrics`"}
    if path and path in ours and method in READS:
        return _aside(policy, "untouched", "the middleware answers here itself", ours[path])
    route = limiter.route_for(method, *paths_of(request.scope))
    if route is None or is_preflight(request.scope):
        return _untouched(limiter, request)
    if route.unknown is Unknown.REFUSE:
        because = "no route reads this path, and the policy says `unknown: refuse`: status 404"
        return _aside(policy, "refused", because, "no route reads the path")
    if method == WEBSOCKET:
        return await _decide_websocket(limiter, route, request)
    try:
        call, body_error = _read(limiter, route, request)
    except BodyTooLarge:
        because = (
            f"the body is larger than `body.limit`, {policy.body.limit:,} bytes, so the request is"
            " answered with status 413 and nothing is charged"
        )
        return _aside(policy, "too_large", because, "the body is too large")
    admission = await limiter.admit(request.scope, call)
    return _explanation(limiter, admission, request, body_error)


async def _decide_websocket(limiter: Limiter, route: Route, request: Request) -> Explanation:
    """Explain a handshake, and a message with the request's body, each as a caller's first call."""
    caller, path = limiter.caller_for(request.scope), request.path
    admission = await limiter.admit_call(caller, route, WEBSOCKET, path, HANDSHAKE)
    handshake = _explanation(limiter, admission, request, "")
    await limiter.settle(admission, Outcome.FAILED)
    call = message_call(len(request.body))
    admission = await limiter.admit_call(caller, route.messages or route, WEBSOCKET, path, call)
    message = _explanation(limiter, admission, request, "")
    return msgspec.structs.replace(handshake, message=message)


def _read(limiter: Limiter, route: Route, request: Request) -> tuple[Call | None, str]:
    """Return the call, None if the route has no adapter, and why its body cannot be read."""
    if route.adapter is None:
        return None, ""
    scope, maximum = request.scope, limiter.policy.body.limit
    check_declared(dict(scope["headers"]), maximum)
    if len(request.body) > maximum:
        raise BodyTooLarge
    target = target_of(scope, request.path)
    call = call_of(route.adapter, target, scope, request.body, maximum)
    if call.operation != UNREADABLE:
        return call, ""
    return call, _body_error(route.adapter, target, decoded(scope, request.body, maximum))


def _body_error(adapter: Adapter, target: Target, body: bytes | None) -> str:
    if body is None:
        return "Its Content-Encoding cannot be decoded here."
    try:
        adapter.parse(target, body)
    except BodyError as error:
        return str(error) if body else "It is empty: give one with --request."
    return "It is not what this path takes."


def _explanation(
    limiter: Limiter, admission: Admission, request: Request, body_error: str
) -> Explanation:
    call, usage, decision = admission.call, admission.estimate.usage, admission.decision
    observation = admission.observation or Observation()
    bits = observation.capabilities
    caller = limiter.caller_for(request.scope)
    examined = admission.examined
    charged = limiter.matcher.lines(caller, admission.plan, call, admission.estimate, examined)
    statuses: Sequence[LineStatus | None] = [None] * len(charged)
    if decision is not None and not admission.nameless:
        statuses = decision.lines
    partitions = limiter.policy.partitions
    applying = {
        matched.budget.name: msgspec.structs.replace(
            _applying(matched.budget, line, status, observation),
            per=_pooled_here(matched.budget, line, partitions),
            overrides=_overriding(limiter, caller, line),
        )
        for matched, line, status in zip(admission.plan.budgets, charged, statuses, strict=True)
    }
    why_not = limiter.matcher.why_not
    verdict, because = _verdict(admission, limiter.policy)
    return Explanation(
        verdict=verdict,
        because=because,
        identity=admission.identity.source,
        tier=admission.tier,
        newcomer=limiter.rules.histories is not None and request.history is NEWCOMER,
        operation=call.operation,
        model=shown(call.model),
        stream=call.stream,
        tokens=(usage.input, usage.output),
        estimated=_estimated(call, limiter.policy.estimate, usage.output),
        reads=_reads(call, observation),
        body_error=body_error,
        looked=admission.observation is not None and not body_error,
        embedded=_embedded(observation) and not body_error,
        capabilities=limiter.matcher.names(bits),
        budgets=tuple(
            applying.get(budget.name)
            or _idle(
                budget,
                _reason(why_not(budget, request.method, request.path, caller, call, examined)),
            )
            for budget in limiter.policy.budgets
        ),
    )


def _applying(
    budget: Budget, line: Line, status: LineStatus | None, observation: Observation
) -> BudgetExplanation:
    line = line if status is None else status.line  # as overrides have changed it
    # A line of buckets holds what one new bucket counts; to this caller, all are new.
    buckets = line.quota.unit is Unit.BUCKETS
    cost = line.amount * CallerProfile().novelty(observation) if buckets else line.amount
    capacity, left = line.quota.capacity, None
    if status is not None:
        left = number(capacity if status.verdict else max(0, capacity - cost))
    return msgspec.structs.replace(
        _idle(budget, ""),
        limit=limit(line.quota),
        applies=True,
        cost=number(cost),
        least=number(cost if buckets else line.minimum),
        left=left,
        verdict=status.verdict.name.lower() if status else "",
    )


def _pooled_here(budget: Budget, line: Line, partitions: Mapping[str, Partition]) -> str:
    """Which calls share the account, and where this caller is if a partition does not name it."""
    parts = [part.split(":") for part in line.partition.split("|")]
    apart = [part[0] for part in parts if part[1:2] == ["none"] and len(part) > MANY]
    shared = [part[0] for part in parts if part[1:] == ["none"]]
    refusing = {each.name for each in partitions.values() if each.missing is Missing.REFUSE}
    refusing &= set(apart) if budget.mode is Mode.ENFORCE else set()
    notes = [
        f"; a caller without {name} is {'refused' if name in refusing else 'on its own'}"
        for name in apart
    ]
    notes += [f"; all without {name} share one account" for name in shared]
    notes += ["; a caller in no group is on its own"] * (GROUP in budget.per)
    return "".join([pooled(budget), *notes])


def _overriding(limiter: Limiter, caller: Caller, line: Line) -> tuple[str, ...]:
    """Return what overrides change of a line, in words."""
    table, now = limiter.rules.overrides, limiter.clock()
    if table is None:
        return ()
    everywhere = [one for one in table.of_caller(caller) if one.effect is not Effect.LIMIT]
    entries = dict.fromkeys([*table.of_account(line.partition), *everywhere])
    quota = line.quota
    return tuple(
        override_words(one) + (f" ({one.reason})" if one.reason else "")
        for one in entries
        if one.applies(quota.name, quota.unit, now)
    )


def _idle(budget: Budget, why: str) -> BudgetExplanation:
    return BudgetExplanation(
        name=budget.name,
        limit=limit(budget.quota),
        per=pooled(budget),
        mode=budget.mode,
        unit=budget.quota.unit,
        counted=budget.counted,
        suspects=budget.response is not None and budget.response.suspects is not None,
        applies=False,
        why_not=why,
    )


def _untouched(limiter: Limiter, request: Request) -> Explanation:
    budgets, why_not = limiter.policy.budgets, limiter.matcher.why_not
    reasons = [why_not(budget, request.method, request.path) for budget in budgets]
    exempt = next((m for m in reasons if m and m.condition == "exempt"), None)
    if is_preflight(request.scope):
        because = "a browser asks whether it may make a request, which is free"
    elif exempt:
        because = _exempted(limiter.policy, exempt.wanted[0])
    elif _passes(limiter.policy, request):
        because = "no route reads this path, and the policy says `unknown: pass`"
    else:
        because = "no budget is for this method and path, so the request is passed on unchanged"
    idle = tuple(_idle(*pair) for pair in zip(budgets, map(_reason, reasons), strict=True))
    return Explanation(verdict="untouched", because=because, budgets=idle)


def _exempted(policy: Policy, pattern: str) -> str:
    if pattern in policy.exempt:
        return f"the path is exempt: `exempt` has {pattern}"
    server = f" of {' or '.join(policy.server)}" if policy.server else ""
    return f"the path is exempt: monitors{server} ask {pattern}"


def _passes(policy: Policy, request: Request) -> bool:
    if policy.unknown is not Unknown.PASS or not carries_body(request.method):
        return False
    return adapter_for(request.path, request.method, policy.routes, policy.server) is None


def _aside(policy: Policy, verdict: str, because: str, why_not: str) -> Explanation:
    """Explain a request to which, for one reason, no budget applies."""
    budgets = tuple(_idle(budget, why_not) for budget in policy.budgets)
    return Explanation(verdict=verdict, because=because, budgets=budgets)


# -- In words ------------------------------------------------------------------------------------


def _reason(mismatch: Mismatch | None) -> str:
    """Return why a budget does not apply, as a clause."""
    if mismatch is None:  # only a message of a WebSocket is left, which takes no lease
        return "the connection holds a place, and its messages need none"
    condition, wanted, actual = mismatch.condition, mismatch.wanted, mismatch.actual
    match condition:
        case "exempt":
            return "the path is exempt"
        case "stream":
            return "it is for streams only" if wanted == ("true",) else "it is not for streams"
        case "opaque":
            held = actual.replace(", ", " and ") or "nothing of the kind"
            return f"it is for calls that hold {' or '.join(wanted)}; this holds {held}"
        case "unit":
            embeds = wanted == (Unit.BUCKETS,)
            counted = f"is used here that counts as {wanted[0].replace('_', ' ')}"
            return f"nothing {'is asked here that could be embedded' if embeds else counted}"
        case _:
            nearest = f"; {mismatch.nearest} is nearest" if actual and len(wanted) > MANY else ""
            return (
                f"it is for {condition} {' or '.join(wanted)}; this is {actual or 'none'}{nearest}"
            )


def _verdict(admission: Admission, policy: Policy) -> tuple[str, str]:
    decision = admission.decision
    if admission.refusal is Refusal.BLOCKED:
        return "blocked", "an override blocks the caller: status 403, and nothing is charged"
    if admission.refusal is Refusal.UNPRICED or decision is None:
        return "unpriced", "a money budget applies, and no price under `models` matches the model"
    if admission.nameless:
        names = ", ".join(decision.violated)
        return "never", f"the caller has no name in what {names} is pooled over (`missing: refuse`)"
    shadowed = decision.shadowed
    would = f"; in shadow, {', '.join(shadowed)} would have refused it" if shadowed else ""
    if decision.admitted:
        enforced = any(budget.mode is Mode.ENFORCE for budget in policy.budgets)
        fits = "every enforced budget has room for it" if enforced else "no budget is enforced"
        return "admit", fits + would
    refused = f"the request is larger than the whole limit of {', '.join(decision.violated)}"
    return decision.verdict.name.lower(), refused + would


def _estimated(call: Call, settings: EstimateSettings, output: int) -> str:
    if call.operation == "other":
        return "no route reads this path, so the call counts as one request and no tokens"
    if call.operation == SESSION:
        return "the message calls nothing, so it counts where a budget names it, and as no tokens"
    if call is HANDSHAKE:
        return "a handshake asks no model, so it counts as one request"
    rate = number(settings.bytes_per_token)
    prompt = f"{call.input_bytes} bytes of prompt at {rate} bytes per token"
    if call.input_tokens:
        whole = call.operation == UNREADABLE
        ids = "more, one for each byte that cannot be read" if whole else "sent as token ids"
        prompt += f", and {call.input_tokens} tokens {ids}"
    if call.images:
        images = "image" if call.images == 1 else "images"
        prompt += f", and {call.images} {images} of {settings.image_tokens} tokens"
    if not call.generates:
        return f"{prompt}; nothing is generated"
    answers = call.items * call.choices
    many = f", for each of {answers} answers" if answers > 1 else ""
    if call.max_output is not None:
        return f"{prompt}; at most {call.max_output} tokens generated, as the request says{many}"
    return (
        f"{prompt}; {output // answers} tokens generated, which is `estimate.output_tokens`, for a"
        f" caller without history{many}"
    )


def _embedded(observation: Observation) -> bool:
    return any(chunk.cell >= 0 for chunk in (*observation.said, *observation.fed))


def _reads(call: Call, observation: Observation) -> Reads:
    """Return the sizes of what the model reads, and how much of it is looked at."""
    sizes = {
        channel: [len(each.text) for each in call.segments if each.channel is channel]
        for channel in Channel
    }
    said, fed = ((len(found), sum(found)) for found in sizes.values())
    return Reads(
        said=said,
        fed=fed,
        opaque=Counter(one.kind for one in call.opaque),
        looked=(len(observation.said), len(observation.fed)),
        buckets=CallerProfile().novelty(observation),
    )
