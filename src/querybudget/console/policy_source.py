"""The policy's file as it may be shown: without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from querybudget.policy import presets
from querybudget.policy.load import MAX_FILE, PRESET
from querybudget.policy.yaml_nodes import MAX_DEPTH
from querybudget.redact import redact_error

HIDDEN = "..."

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_SECRET = re.compile(
    r"secret|password|passphrase|credential|api_?key|(?:^|[_-])keys?$"
    r"|(?:^|access|api|auth|bearer|console)[_-]?token$",
    re.IGNORECASE,
)
"""Names of keys whose values are not shown."""

_ADDRESSED = re.compile("webhook", re.IGNORECASE)
"""Names of keys below which the path of a URL is a secret too."""

_WRITTEN = re.compile(
    r"((?:secret|token(?!\w)|password|passphrase|credential|api[_-]?key)\w{0,40}[\"']?\s{0,9}"
    r"[:=]\s{0,9})(\S.*)",
    re.IGNORECASE,
)
"""A secret in a comment, where YAML does not say what is a value."""

_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
"""Names a variable and holds no secret; ``${NAME:-default}`` does."""


def policy_source(source: str) -> str:
    """Return the YAML of a policy, from its file or preset, without secrets.

    Returns:
        The text; empty for a policy that was made in code, or whose file cannot be read or is no
        YAML, since it cannot be told then what in it is secret.
    """
    text = _text(source)
    try:
        return redacted(text) if text else ""
    except (yaml.YAMLError, RecursionError):
        return ""


def redacted(text: str) -> str:
    """Return YAML text without the values of secrets, and without passwords in URLs.

    Raises:
        yaml.YAMLError: It is no YAML.
    """
    pieces, end = list[str](), 0
    for start, stop, shown in sorted(_hidden(text)):
        if start >= end:
            pieces += text[end:start], shown
            end = stop
    whole = "".join([*pieces, text[end:]])
    return "\n".join(map(_without_comment_secret, whole.split("\n")))


def _hidden(text: str) -> Iterator[tuple[int, int, str]]:
    """The stretches of a text that are not shown, and what is shown instead."""
    key: str | None = None
    depth = list[tuple[bool, str, int]]()  # mapping?, the key that it is the value of, its turn
    for event in yaml.parse(text, Loader=_Loader):
        if len(depth) > MAX_DEPTH:
            raise yaml.YAMLError("it is too deep")
        inside = bool(depth) and depth[-1][0]
        expects_key = inside and depth[-1][2] % 2 == 0
        if isinstance(event, yaml.ScalarEvent):
            if expects_key:
                key = str(event.value)
            else:
                names = (
                    [key or "", *(name for _, name, _ in depth)]
                    if inside
                    else [name for _, name, _ in depth]
                )
                yield from _hidden_scalar(event, names)
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            name = (key or "") if inside and not expects_key else ""
            _turn(depth)
            depth.append((isinstance(event, yaml.MappingStartEvent), name, 0))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth.pop()
        elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            _turn(depth)


def _turn(depth: list[tuple[bool, str, int]]) -> None:
    if depth:
        mapping, name, turn = depth[-1]
        depth[-1] = mapping, name, turn + 1


def _hidden_scalar(event: yaml.ScalarEvent, names: list[str]) -> Iterator[tuple[int, int, str]]:
    begin, end = event.start_mark, event.end_mark
    if begin is None or end is None:
        raise yaml.YAMLError("it is not known where a value stands")
    value, start, stop = str(event.value), begin.index, end.index
    if any(_SECRET.search(name) for name in names):
        if value and not _VARIABLE.fullmatch(value):
            yield start, stop, HIDDEN + "\n" * (event.style in {"|", ">"})
    elif "://" in value:
        clean = redact_error(value)
        if any(_ADDRESSED.search(name) for name in names):
            scheme, _, rest = clean.partition("://")
            clean = f"{scheme}://{rest.partition('/')[0]}/{HIDDEN}"
        if clean != value:
            yield start, stop, clean


def _without_comment_secret(line: str) -> str:
    before, mark, comment = line.partition("#")
    if not mark:
        return line
    return before + mark + redact_error(_WRITTEN.sub(rf"\1{HIDDEN}", comment))


def _text(source: str) -> str:
    if source.startswith(PRESET):
        return presets.preset_yaml(source.removeprefix(PRESET))
    try:
        with Path(source).open("rb") as file:
            return file.read(MAX_FILE).decode("utf-8-sig")
    except (OSError, ValueError):
        return ""
