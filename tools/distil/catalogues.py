"""Messages of programs in many languages: gettext catalogues, Kolibri's, and those of VS Code."""

from __future__ import annotations

import ast
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from gettext import GNUTranslations
from pathlib import Path

__all__ = ["FIRST", "WHEELS", "Message", "messages"]

KOLIBRI = "kolibri-*.whl"
EDITOR = "codingame-monaco-vscode-language-pack-*.tgz"
FIRST = ("jupyterlab_language_pack_*.whl", "django-*.whl")
WHEELS = (
    "apache_superset-*.whl",
    "django-*.whl",
    "django_cms-*.whl",
    "django_oscar-*.whl",
    "djangorestframework-*.whl",
    "horizon-*.whl",
    "jupyterlab_language_pack_*.whl",
    "sphinx-*.whl",
    "wagtail-*.whl",
    KOLIBRI,
    EDITOR,
)
EDITED = ("ko", "ja", "tr", "ru", "zh-hans")  # the other languages have text enough
_LOCALE = re.compile(r"/(?:locales?|translations)/([A-Za-z_]+)/LC_MESSAGES/[^/]+\.(mo|po)$")
_KOLIBRI = re.compile(r"kolibri/locale/([A-Za-z_]+)/LC_MESSAGES/([^/]+)\.json$")
_STRING = re.compile(r'^(msgid|msgstr)?\s*(".*")$')
_ITEMS = re.compile(r'^\t("(?:[^"\\]|\\.)*"|undefined),?$', re.MULTILINE)
_PSEUDO = str.maketrans(
    "æåëïøµÿçñðþ§ßÆÅËÏØÜŸÇÑÐÞ£Ýý",
    "aaeiouycndbsBAAEIOUYCNDBLYy",
)
"""The pseudo-language of VS Code is its English with other letters."""

Message = tuple[str, str, str]
"""Code of a language, text, and its English."""


def messages(folder: Path, wheels: Sequence[str]) -> Iterator[Message]:
    """Yield the translated messages of the packages in a folder."""
    for pattern in wheels:
        for path in sorted(folder.glob(pattern)) if pattern != EDITOR else ():
            yield from _kolibri(path) if pattern == KOLIBRI else _wheel(path)
    if EDITOR in wheels:
        yield from _editor(folder)


def _wheel(path: Path) -> Iterator[Message]:
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        for name in sorted(names):
            found = _LOCALE.search(name)
            if found and found[2] == "mo":
                for english, text in _compiled(wheel.read(name)):
                    yield found[1], text, english
            elif found and name.removesuffix("po") + "mo" not in names:
                for english, text in _source(wheel.read(name).decode()):
                    yield found[1], text, english


def _compiled(content: bytes) -> Iterator[tuple[str, str]]:
    # The only way to all its messages; the class has asked for them one by one since 1998.
    catalogue: dict[object, str] = vars(GNUTranslations(io.BytesIO(content)))["_catalog"]
    for key, text in catalogue.items():
        message = key[0] if isinstance(key, tuple) else key
        if isinstance(message, str):
            yield message.split("\x04")[-1], text


def _source(content: str) -> Iterator[tuple[str, str]]:
    """Yield the messages of a catalogue that is not compiled, but those with plural forms."""
    for entry in re.split(r"\n\s*\n", content):
        if "#, fuzzy" in entry or "msgid_plural" in entry:
            continue
        parts: dict[str, str] = {}
        kind = ""
        for line in entry.splitlines():
            found = _STRING.match(line)
            if found:
                kind = found[1] or kind
                parts[kind] = parts.get(kind, "") + str(ast.literal_eval(found[2]))
        yield parts.get("msgid", ""), parts.get("msgstr", "")


def _kolibri(path: Path) -> Iterator[Message]:
    with zipfile.ZipFile(path) as wheel:
        files: dict[str, dict[str, dict[str, str]]] = {}
        for name in sorted(wheel.namelist()):
            found = _KOLIBRI.match(name)
            if found:
                files.setdefault(found[1], {})[found[2]] = json.loads(wheel.read(name))
        for code, content in files.items():
            for file, strings in content.items():
                for key, text in strings.items():
                    english = files["en"].get(file, {}).get(key, "")
                    if text != english:
                        yield code, text, english


def _editor(folder: Path) -> Iterator[Message]:
    pseudo = _strings(folder, "qps-ploc")
    for code in EDITED:
        for place, text in _strings(folder, code).items():
            yield code, text, pseudo.get(place, "").translate(_PSEUDO)


def _strings(folder: Path, code: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(folder.glob(f"codingame-monaco-vscode-language-pack-{code}-[0-9]*.tgz")):
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member) if ".i18n.json" in member.name else None
                content = file.read().decode() if file else ""
                if member.name.endswith(".js"):
                    strings = _ITEMS.findall(content)
                    for number, text in enumerate(strings):
                        if text != "undefined":
                            found[f"main {number}"] = str(json.loads(text))
                elif content:
                    for part, texts in json.loads(content)["contents"].items():
                        for key, text in texts.items():
                            found[f"{member.name} {part} {key}"] = text
    return found
