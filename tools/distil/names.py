"""Names of days, months, countries, languages and cities in many languages, from CLDR."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tools.distil.sources import CLDR, LANGUAGES, Pair

__all__ = ["names"]

_FILES = re.compile(r"main/([A-Za-z-]+)/(languages|territories|ca-gregorian|timeZoneNames)\.json$")


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:  # noqa: ANN401
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))


def _wanted(kind: str, path: tuple[str, ...]) -> bool:
    if path[0] == "identity":
        return False
    if kind == "languages":
        return len(path[-1]) == 2
    if kind == "territories":
        return "-alt-" not in path[-1]
    if kind == "timeZoneNames":
        return path[-1] == "exemplarCity"
    return ("months" in path or "days" in path) and "wide" in path


def _read(folder: Path) -> dict[str, dict[tuple[str, ...], str]]:
    found: dict[str, dict[tuple[str, ...], str]] = {}
    for pattern in ("cldr-localenames-full-*.tgz", "cldr-dates-full-*.tgz"):
        for path in sorted(folder.glob(pattern)):
            with tarfile.open(path) as archive:
                for member in archive:
                    match = _FILES.search(member.name)
                    file = archive.extractfile(member) if match else None
                    if match and file:
                        locale, kind = match.groups()
                        content = json.loads(file.read())["main"][locale]
                        for place, text in _leaves(content):
                            if _wanted(kind, place):
                                found.setdefault(locale, {})[(kind, *place)] = text
    return found


def names(folder: Path, languages: Sequence[str] = LANGUAGES) -> list[Pair]:
    """Yield each name with its English name, if they differ."""
    found = _read(folder)
    pairs = [
        Pair(language, text, found["en"][place])
        for language in languages
        for locale in CLDR.get(language, (language,))
        for place, text in found.get(locale, {}).items()
        if place in found["en"] and text and text != found["en"][place]
    ]
    return list(dict.fromkeys(pairs))
