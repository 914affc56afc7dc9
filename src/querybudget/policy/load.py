"""A YAML file, YAML text or a mapping to a `Policy`, or to a `PolicyError` with every problem."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path as FilePath

from msgspec import UNSET

from querybudget.errors import PolicyError, PolicyProblem
from querybudget.notation import brief
from querybudget.policy import (
    build_budgets,
    build_embedding,
    build_identity,
    build_store,
    build_tiers,
    file,
    override_words,
    scenario_words,
    servers,
)
from querybudget.policy.adaptive import adaptive
from querybudget.policy.build_outputs import check_outputs, check_secret
from querybudget.policy.cors import check_cors
from querybudget.policy.decode import read
from querybudget.policy.diagnostics import Node, Path, Problems
from querybudget.policy.exports import check_exports
from querybudget.policy.linking import linking
from querybudget.policy.model import Policy
from querybudget.policy.naming import NamedOverride, OverrideSource
from querybudget.policy.prices import completed_price
from querybudget.policy.routes import GenericRoute, Server
from querybudget.policy.yaml_nodes import from_mapping, from_text
from querybudget.text import listed, nearest
from querybudget.units import Unit

MAX_FILE = 1 << 20  # characters
PRESET = "preset:"

_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*")  # RFC 6901, section 3
_PLACEHOLDER = re.compile(r"\{([^{}/]*)\}")
_POINTERS = ("model", "max_output", "stream", "choices", "input_usage", "output_usage", "text")


def load(
    source: str | os.PathLike[str] | Mapping[str, object],
    *,
    environ: Mapping[str, str] | None = None,
) -> Policy:
    """Load a policy: see `querybudget.policy.load_policy`."""
    if isinstance(source, Mapping):
        problems = Problems("<mapping>")
        environ = os.environ if environ is None else environ
        return _policy(from_mapping(source, environ, problems), problems)
    name = os.fspath(source)
    return load_text(text_of(name), name, environ)


def text_of(name: str) -> str:
    """Return the text of a policy file, or of a preset.

    Raises:
        PolicyError: It cannot be read.
    """
    return _preset(name) if name.startswith(PRESET) else _text(name)


def load_text(
    text: str, source_name: str = "<text>", environ: Mapping[str, str] | None = None
) -> Policy:
    """Load a policy from YAML text.

    Args:
        text: The policy.
        source_name: Its name in error messages.
        environ: Variables that `${NAME}` stands for; the process's environment by default.

    Raises:
        PolicyError: The policy cannot be used. The error lists every problem, in the order of the
            text.
    """
    problems = Problems(source_name)
    if len(text) > MAX_FILE:
        raise problems.stop((), f"expected at most {MAX_FILE} characters, found {len(text)}", 0)
    environ = os.environ if environ is None else environ
    return _policy(from_text(text, environ, problems), problems)


def _preset(name: str) -> str:
    from querybudget.policy import presets  # noqa: PLC0415 - few policies are presets

    word = name.removeprefix(PRESET)
    try:
        return presets.preset_yaml(word)
    except KeyError:
        known = presets.names()
        message = f"expected a preset of {listed(known)}, found `{word}`{nearest(word, known)}"
        raise Problems(name).stop((), message) from None


def _text(name: str) -> str:
    problems = Problems(name)
    if "\n" in name:
        found = "found YAML (`querybudget.policy.load.load_text` takes it)"
        raise Problems("<text>").stop((), f"expected the path of a policy file, {found}")
    try:
        with FilePath(name).open("rb") as stream:
            return stream.read(MAX_FILE + 1).decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        problem = PolicyProblem(name, 0, "", f"cannot read {name}: {reason}")
        raise PolicyError((problem,)) from None
    except ValueError as error:
        raise problems.stop((), f"expected text in UTF-8, found other bytes: {error}") from None


def _policy(node: Node, problems: Problems) -> Policy:
    written = read(file.PolicyFile, node, problems)
    partitions = build_identity.partitions(written.partitions, written.server, problems)
    _check(written, problems)
    capabilities = build_embedding.capabilities(written.capabilities, problems)
    known = build_budgets.Known(
        mode=written.mode,
        partitions=tuple(written.partitions),
        tiers=tuple(written.tiers),
        operations=tuple(
            route.operation
            for route in (*written.routes, *servers.routes(written.server))
            if not route.read or route.operation != "generic"
        ),
        capabilities=tuple(capability.name for capability in capabilities),
        priced=bool(written.models),
        links=written.linking.mode if written.linking else None,
    )
    budgets = build_budgets.budgets(written.budgets, known, problems)
    identity = build_identity.identity(written.identity, written.server, problems)
    built = tuple(budget for budget in budgets if budget is not None)
    units = {budget.name: budget.quota.unit for budget in built}
    counts_buckets = Unit.BUCKETS in units.values()
    overrides, sources = _overrides(
        written, override_words.Known(units, identity, partitions), problems
    )
    scenarios = scenario_words.Known({budget.name: budget for budget in built}, written.hold)
    policy = Policy(
        budgets=built,
        identity=identity,
        partitions=partitions,
        tiers=build_tiers.tiers(
            written.tiers,
            build_tiers.Known(
                () if written.budgets is UNSET else written.budgets,
                identity,
                tuple(written.partitions),
                known.priced,
                "" if written.store.url is UNSET else written.store.url,
            ),
            problems,
        ),
        overrides=overrides,
        override_sources=sources,
        models={
            pattern: completed_price(price, problems.keys(("models", pattern)))
            for pattern, price in written.models.items()
        },
        routes=written.routes,
        secret=_secret(written, problems),
        store=build_store.store_settings(written, budgets, problems),
        server=written.server,
        unknown=written.unknown,
        exempt=written.exempt or (),
        probes=servers.probes(written.server) if written.exempt is None else (),
        hold=written.hold,
        max_identities=written.max_identities,
        estimate=written.estimate,
        refusals=written.refusals,
        body=written.body,
        streams=written.streams,
        traffic_log=written.traffic_log,
        webhooks=written.webhooks,
        unpriced=written.unpriced,
        source=problems.source,
        health=written.health,
        metrics=written.metrics,
        watch=written.watch,
        embedding=build_embedding.embedding(written.embedding, problems),
        adaptive=adaptive(written.adaptive, problems, counts_buckets=counts_buckets),
        linking=linking(
            written.linking,
            tuple(partitions),
            [each.per for each in written.budgets or ()],
            problems,
            counts_buckets=counts_buckets,
        ),
        capabilities=capabilities,
        tests=scenario_words.scenarios(written.tests, scenarios, problems),
    )
    problems.stop_if_any()
    return policy


def _overrides(
    written: file.PolicyFile, known: override_words.Known, problems: Problems
) -> tuple[tuple[NamedOverride, ...], tuple[OverrideSource, ...]]:
    """Build overrides, and read their files once, so that mistakes in these are found now."""
    named, sources = override_words.overrides(written.overrides, known, problems)
    if not problems.wrong(()):
        for source in sources:
            if not source.called:
                override_words.read_overrides(source.target, known)
    return named, sources


def _check(written: file.PolicyFile, problems: Problems) -> None:
    for index, route in enumerate(written.routes):
        _check_route(route, ("routes", index), problems)
    build_budgets.check_paths(written.exempt or (), ("exempt",), problems)
    if written.estimate.bytes_per_token == 0:
        problems.add(("estimate", "bytes_per_token"), "expected more than zero, found 0")
    _check_servers(written.server, problems)
    check_cors(written.refusals.cors, ("refusals", "cors"), problems)
    body = written.body
    if body.timeout == 0:
        problems.add(("body", "timeout"), "expected more than zero, found 0")
    if body.in_flight < body.limit:
        message = f"expected at least `limit`, {body.limit} bytes, found {body.in_flight}"
        problems.add(("body", "in_flight"), message)
    check_outputs(written.traffic_log, written.webhooks, problems)
    check_exports(written.metrics, problems)
    path = written.health
    if path and not path.startswith("/"):
        problems.add(("health",), f"expected a path such as `/health/budgets`, found `{path}`")


def _check_servers(servers: tuple[Server, ...], problems: Problems) -> None:
    if not servers and "server" in problems.keys(()) and not problems.wrong(("server",)):
        problems.add(("server",), "expected at least one server, found none")
    for index, name in enumerate(servers):
        if name in servers[:index]:
            message = f"expected each server once, found `{name}` again"
            problems.add(("server", index), message)


def _secret(written: file.PolicyFile, problems: Problems) -> bytes:
    if written.secret is None or written.secret is UNSET:
        return b""
    check_secret(written.secret, ("secret",), problems)
    return written.secret.encode()


def _check_route(route: GenericRoute, path: Path, problems: Problems) -> None:
    pointing = [name for name in (*_POINTERS, "prompt") if getattr(route, name)]
    if route.read and pointing:
        message = f"expected `read` or pointers, found `read: {route.read}` and `{pointing[0]}`"
        problems.add((*path, "read"), message)
    build_identity.check_name(route.operation, (*path, "operation"), problems)
    if route.path:
        build_budgets.check_paths((route.path,), (*path, "path"), problems)
    if set(_PLACEHOLDER.findall(route.path)) - {"model"}:
        message = f"expected no name in braces but `{{model}}`, found {brief(route.path)}"
        problems.add((*path, "path"), message)
    for name in _POINTERS:
        _check_pointer(getattr(route, name), (*path, name), problems)
    for pointer in route.prompt:
        _check_pointer(pointer, problems.item((*path, "prompt"), pointer), problems)


def _check_pointer(pointer: str, path: Path, problems: Problems) -> None:
    if not _POINTER.fullmatch(pointer):
        problems.add(path, f"expected a JSON pointer such as `/input/text`, found {brief(pointer)}")
