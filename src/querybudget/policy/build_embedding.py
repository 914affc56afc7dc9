"""Capabilities and what knows them, from the file's words to the policy's types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import UNSET, UnsetType

from querybudget.policy import file
from querybudget.policy.build_identity import check_name
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.model import CAPABILITIES, Capability, Embedding
from querybudget.text import in_units, nearest
from querybudget.units import MICRO, SECOND

__all__ = ["capabilities", "embedding"]

MOST = 40  # of one's own: with those that ship, they are bits of a number that Lua holds exactly
MOST_EXAMPLES = 64
LONGEST_EXAMPLE = 2_000
LARGEST_WEIGHT = 100 * MICRO
LONGEST_TIMEOUT = 60 * SECOND

_TARGET = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")


def capabilities(
    given: Mapping[str, file.CapabilityFile], problems: Problems
) -> tuple[Capability, ...]:
    """Those that ship, changed as the file says, and then the file's own in their order."""
    known = {name: Capability(name) for name in CAPABILITIES}
    for name, capability in given.items():
        path = ("capabilities", name)
        known[name] = _capability(name, capability, path, problems)
    if len(known) > len(CAPABILITIES) + MOST:
        found = len(known) - len(CAPABILITIES)
        message = f"expected at most {MOST} capabilities besides those that ship, found {found}"
        problems.add(("capabilities",), message)
    return tuple(known.values())


def _capability(
    name: str, given: file.CapabilityFile, path: Path, problems: Problems
) -> Capability:
    check_name(name, path, problems)
    if name not in CAPABILITIES and not given.examples and not problems.wrong(path):
        message = "expected `examples` of a capability that does not ship, found none"
        problems.add(path, f"{message}{nearest(name, CAPABILITIES)}")
    if not 0 < given.weight <= LARGEST_WEIGHT:
        message = f"expected a weight above 0, up to {in_units(LARGEST_WEIGHT)}"
        problems.add((*path, "weight"), f"{message}, found `{in_units(given.weight)}`")
    _check_examples(given.examples, (*path, "examples"), problems)
    return Capability(name, given.examples, given.weight)


def _check_examples(examples: tuple[str, ...], path: Path, problems: Problems) -> None:
    if len(examples) > MOST_EXAMPLES:
        problems.add(path, f"expected at most {MOST_EXAMPLES} examples, found {len(examples)}")
    for text in examples:
        if not text.strip() or len(text) > LONGEST_EXAMPLE:
            where, found = problems.item(path, text), len(text) if text.strip() else "none"
            message = f"expected an example of 1 to {LONGEST_EXAMPLE} characters, found {found}"
            problems.add(where, message)


def embedding(given: file.EmbeddingFile, problems: Problems) -> Embedding:
    """What turns prompts into vectors."""
    match given:
        case file.EmbeddingFile(remote=file.RemoteFile() as remote):
            return _remote(remote, ("embedding", "remote"), problems)
        case file.EmbeddingFile(model2vec=file.Model2VecFile() as local):
            path = ("embedding", "model2vec")
            return Embedding(
                "model2vec",
                target=_place(local.path, (*path, "path"), problems),
                codebook=_place(local.codebook, (*path, "codebook"), problems),
            )
        case file.EmbeddingFile(callable=file.CallableFile() as own):
            path = ("embedding", "callable")
            if own.target is not UNSET and not _TARGET.fullmatch(own.target):
                message = "expected a function such as `package.module:function`"
                problems.add((*path, "target"), f"{message}, found something else")
            return Embedding(
                "callable",
                target="" if own.target is UNSET else own.target,
                codebook=_place(own.codebook, (*path, "codebook"), problems),
            )
        case _:
            return Embedding()


def _remote(given: file.RemoteFile, path: Path, problems: Problems) -> Embedding:
    if given.url is not UNSET and not _is_url(given.url):
        message = "expected the URL of an endpoint such as `http://tei:8080/v1/embeddings`"
        problems.add((*path, "url"), f"{message}, found something else")
    if given.timeout > LONGEST_TIMEOUT:
        problems.add((*path, "timeout"), "expected at most 60s, found more")
    key = given.api_key or ""
    if not (key.isascii() and key.isprintable()):
        problems.add((*path, "api_key"), "expected printable ASCII, found other characters")
    return Embedding(
        "remote",
        url="" if given.url is UNSET else given.url,
        model=given.model,
        api_key=key,
        timeout=given.timeout,
        codebook=_place(given.codebook, (*path, "codebook"), problems),
        dimensions=given.dimensions or 0,
    )


def _place(given: str | UnsetType, path: Path, problems: Problems) -> str:
    if given is UNSET:
        return ""
    if not given.strip():
        problems.add(path, "expected a path, found nothing")
    return given


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
