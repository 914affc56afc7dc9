"""Capabilities and the embedding: from the file's structs to the policy's types."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import UNSET, UnsetType

from querybudget.policy import file
from querybudget.policy.build_identity import check_name
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.fields import is_function_path
from querybudget.policy.model import CAPABILITIES, Capability, Embedding
from querybudget.text import in_units, nearest
from querybudget.units import MICRO, SECOND

MAX_CAPABILITIES = 40  # besides those that ship: all are bits of a number that Lua holds exactly
MAX_EXAMPLES = 64
MAX_EXAMPLE = 2_000  # characters
MAX_WEIGHT = 100 * MICRO
MAX_TIMEOUT = 60 * SECOND


def capabilities(
    written: Mapping[str, file.CapabilityFile], problems: Problems
) -> tuple[Capability, ...]:
    """Build those that ship, changed as the file says, and then those that the file adds."""
    known = {name: Capability(name) for name in CAPABILITIES}
    for name, capability in written.items():
        known[name] = _capability(name, capability, ("capabilities", name), problems)
    added = len(known) - len(CAPABILITIES)
    if added > MAX_CAPABILITIES:
        most = f"at most {MAX_CAPABILITIES} capabilities besides those that ship"
        problems.add(("capabilities",), f"expected {most}, found {added}")
    return tuple(known.values())


def _capability(
    name: str, capability: file.CapabilityFile, path: Path, problems: Problems
) -> Capability:
    check_name(name, path, problems)
    if name not in CAPABILITIES and not capability.examples and not problems.wrong(path):
        message = "expected `examples` of a capability that does not ship, found none"
        problems.add(path, f"{message}{nearest(name, CAPABILITIES)}")
    if not 0 < capability.weight <= MAX_WEIGHT:
        message = f"expected a weight above 0, up to {in_units(MAX_WEIGHT)}"
        problems.add((*path, "weight"), f"{message}, found `{in_units(capability.weight)}`")
    _check_examples(capability.examples, (*path, "examples"), problems)
    return Capability(name, capability.examples, capability.weight)


def _check_examples(examples: tuple[str, ...], path: Path, problems: Problems) -> None:
    if len(examples) > MAX_EXAMPLES:
        problems.add(path, f"expected at most {MAX_EXAMPLES} examples, found {len(examples)}")
    for text in examples:
        if not text.strip() or len(text) > MAX_EXAMPLE:
            where, found = problems.item(path, text), len(text) if text.strip() else "none"
            message = f"expected an example of 1 to {MAX_EXAMPLE} characters, found {found}"
            problems.add(where, message)


def embedding(written: file.EmbeddingFile, problems: Problems) -> Embedding:
    """Build the settings of what turns prompts into vectors."""
    match written:
        case file.EmbeddingFile(remote=file.RemoteFile() as remote):
            return _remote(remote, ("embedding", "remote"), problems)
        case file.EmbeddingFile(model2vec=file.Model2VecFile() as local):
            path = ("embedding", "model2vec")
            return Embedding(
                "model2vec",
                target=_file_path(local.path, (*path, "path"), problems),
                codebook=_file_path(local.codebook, (*path, "codebook"), problems),
            )
        case file.EmbeddingFile(callable=file.CallableFile() as function):
            path = ("embedding", "callable")
            if function.target is not UNSET and not is_function_path(function.target):
                message = "expected a function such as `package.module:function`"
                problems.add((*path, "target"), f"{message}, found something else")
            return Embedding(
                "callable",
                target="" if function.target is UNSET else function.target,
                codebook=_file_path(function.codebook, (*path, "codebook"), problems),
            )
        case _:
            return Embedding()


def _remote(remote: file.RemoteFile, path: Path, problems: Problems) -> Embedding:
    if remote.url is not UNSET and not _is_url(remote.url):
        message = "expected the URL of an endpoint such as `http://tei:8080/v1/embeddings`"
        problems.add((*path, "url"), f"{message}, found something else")
    if remote.timeout > MAX_TIMEOUT:
        problems.add((*path, "timeout"), "expected a duration of at most 60s, found a longer one")
    key = remote.api_key or ""
    if not (key.isascii() and key.isprintable()):
        problems.add((*path, "api_key"), "expected printable ASCII, found other characters")
    return Embedding(
        "remote",
        url="" if remote.url is UNSET else remote.url,
        model=remote.model,
        api_key=key,
        timeout=remote.timeout,
        codebook=_file_path(remote.codebook, (*path, "codebook"), problems),
        dimensions=remote.dimensions or 0,
    )


def _file_path(text: str | UnsetType, path: Path, problems: Problems) -> str:
    if text is UNSET:
        return ""
    if not text.strip():
        problems.add(path, "expected a path, found nothing")
    return text


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
