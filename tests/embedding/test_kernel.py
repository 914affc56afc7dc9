"""The compiled kernel and the Python forms return the same, to the bit, for every text."""

# ruff: noqa: RUF001 - signs that look like others are what this is about

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.embedding import kernel
from querybudget.embedding.chunking import habits, repeats
from querybudget.embedding.chunking.chunks import WHOLE, Cutter
from querybudget.embedding.chunking.repeats import Repeats
from querybudget.embedding.kernel import KERNEL, RAW
from querybudget.embedding.normalization.words import Reader
from querybudget.embedding.signs import PLANE
from querybudget.embedding.static import StaticEmbedder

pytestmark = pytest.mark.skipif(
    KERNEL is None and os.environ.get("QUERYBUDGET_REQUIRE_KERNEL") != "1",
    reason="the kernel was not built",
)

PROSE = (
    "Explain how the tides work, and why there are two of them each day; 12 lines at most.\n",
    "don’t “quote” — it’s naïve… Ångström café ﬁne ½ № ™ Straße İstanbul ΣΊΣΥΦΟΣ ς",
    "机器学习是什么？请举三个例子。 ガギグ ｶﾞ が 한국어 ㄱㅏ 각 ᄀ\u1161\u11a8 🎉🚀 𝐀𝐁 𠀀",
    "मुझे भारत के इतिहास के बारे में निबंध लिखो ช่วยเขียนบทความสั้น น้ำ مرحبًا بِالعَالَمِ الـعـربية क़ ड़",
    "a b c d e f  xyzzyish qwrtpsdf unbelievablenesses ##ing # 1st 2nd \x00\x1f\x85\xa0\u2028",
)
SIGNS = st.one_of(
    st.sampled_from("abcdefghij ABC.,!?'’0123\n\t\0#-"),
    st.characters(max_codepoint=0x2FF),
    st.characters(categories=["M", "Lo", "Lm", "Nd", "Cs", "Sk", "Cf"]),
    st.characters(),
    st.integers(0xD800, 0xDFFF).map(chr),
)
TEXTS = st.one_of(
    st.text(SIGNS, max_size=300),
    st.lists(st.one_of(st.sampled_from(PROSE), st.text(SIGNS, max_size=12)), max_size=40).map(
        "".join
    ),
    st.tuples(st.text(SIGNS, min_size=1, max_size=3), st.integers(0, 400)).map(
        lambda drawn: drawn[0] * drawn[1]
    ),
)


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder.load()


@pytest.fixture(scope="module")
def pure(embedder: StaticEmbedder) -> StaticEmbedder:
    """The same table without the kernel."""
    bare = copy.copy(embedder)
    bare.lexicon = None
    return bare


@given(text=TEXTS)
def test_a_text_has_the_same_vector(
    embedder: StaticEmbedder, pure: StaticEmbedder, text: str
) -> None:
    assert embedder.vectors([text]).tobytes() == pure.vectors([text]).tobytes()


@given(text=TEXTS)
def test_a_text_reads_the_same(embedder: StaticEmbedder, text: str) -> None:
    compiled, bare = (Reader(embedder.vocabulary, lexicon) for lexicon in (embedder.lexicon, None))
    assert compiled.is_plain(text) == bare.is_plain(text)
    assert compiled.is_readable(text) == bare.is_readable(text)
    assert compiled.share(text) == bare.share(text)
    assert [*compiled.unknown(text)] == [*bare.unknown(text)]
    unknown = compiled.unknown_if_plain(text)
    assert unknown == bare.unknown_if_plain(text)
    assert unknown == (bare.unknown(text) if bare.is_plain(text) else None)


@given(text=TEXTS, key=st.binary(min_size=1, max_size=4))
def test_a_text_is_cut_in_the_same_places(text: str, key: bytes) -> None:
    cutter = Cutter(key)
    for each in (text, text * 12):
        cut = cutter.cut(each)
        assert "".join(cut) == each
        assert len(each) <= WHOLE or cut == cutter._cut(each)


@given(texts=st.lists(TEXTS, min_size=1, max_size=12))
def test_the_same_is_taken_off_as_sent_before(texts: list[str]) -> None:
    compiled, bare = Repeats(b"k"), Repeats(b"k")
    with pytest.MonkeyPatch.context() as patch:
        for text in (*texts, *(PROSE[0] * 3 + text for text in texts), *texts):
            patch.setattr(repeats, "KERNEL", KERNEL)
            found = compiled.without("caller", text)
            patch.setattr(repeats, "KERNEL", None)
            assert found == bare.without("caller", text)


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=6),
    mark=st.integers(0, 2**32 - 1),
    side=st.integers(0, 1),
)
def test_rows_of_words_are_counted_the_same(texts: list[str], mark: int, side: int) -> None:
    compiled, bare = habits.Counts(8), habits.Counts(8)
    with pytest.MonkeyPatch.context() as patch:
        for text in (*texts, *texts, *(f"{text} {PROSE[0]}" for text in texts)):
            patch.setattr(habits, "COUNTED", getattr(KERNEL, "counted", None))
            found = compiled.counted(text, mark, side)
            patch.setattr(habits, "COUNTED", None)
            assert found == bare.counted(text, mark, side)
            assert compiled.counts == bare.counts


def test_each_character_of_the_first_planes_is_folded_as_in_python(
    embedder: StaticEmbedder, pure: StaticEmbedder
) -> None:
    lexicon, bare = embedder.lexicon, Reader(embedder.vocabulary)
    assert lexicon is not None
    left_to_python = 0
    alike = (*range(0x3400, 0xA000, 51), *range(0xAC00, 0xF900, 51), *range(PLANE, 0x40000, 0x135))
    for code in (*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, PLANE), *alike):
        text = f"{chr(code)}abcd{chr(code)} x{chr(code)}y"
        share = lexicon.share(text, RAW)
        left_to_python += share is None
        assert share in {None, bare.share(text)}, hex(code)
        assert embedder.vectors([text]).tobytes() == pure.vectors([text]).tobytes(), hex(code)
    assert left_to_python < PLANE // 10


def test_what_is_no_text_or_no_table_is_an_error(embedder: StaticEmbedder) -> None:
    lexicon: Any = embedder.lexicon
    module: Any = KERNEL
    vector = np.zeros(3, np.float32)
    calls: tuple[Callable[[], object], ...] = (
        lambda: lexicon.share(b"bytes", RAW),
        lambda: lexicon.vector("the", RAW, vector, vector, vector),
        lambda: module.ends("the", b"", 1, 1, 1),
        lambda: module.counted("the", 1, 0, bytearray()),
        lambda: module.counted("the", 1, 0, b"counts"),
        lambda: module.counted(b"the", 1, 0, bytearray(8)),
        lambda: module.met("x" * 3_000, *[b""] * 4, 1, bytearray(), bytearray(), 0),
        lambda: module.Lexicon(["a", 1], bytes(PLANE), bytes(4 * PLANE), b""),
        lambda: module.Lexicon(["a"], b"", b"", b""),
        lambda: module.Lexicon(["a"], bytes(PLANE), bytes(PLANE), b""),
        lambda: module.Lexicon(["a"], bytes(PLANE), b"\xff" * 4 * PLANE, b""),
    )
    for call in calls:
        with pytest.raises((TypeError, ValueError, BufferError)):
            call()


def test_the_environment_chooses_the_python_forms() -> None:
    code = "from querybudget.embedding.kernel import KERNEL; print(KERNEL is None)"
    for value, expected in (("1", "True"), ("0", "False"), ("", "False")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {kernel.PURE: value},
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == expected
