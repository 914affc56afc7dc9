# ruff: noqa: RUF001 - letters that look alike are what is tested
"""WordPiece against the reference implementation over the same vocabulary."""

import re
import unicodedata
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from querybudget.embedding import static
from querybudget.embedding.wordpiece import (
    CONTINUATION,
    DROPPED,
    FOLDED,
    SEPARATORS,
    UNSPACED,
    WordPiece,
    normalise,
)

_UNKNOWN = "[UNK]"
_UNSPACED = re.compile(f"[{UNSPACED}]")


class Reference:
    """The same vocabulary in the `tokenizers` package.

    Its one model knows only one way to go on inside a word, so a piece of a script without spaces
    is there twice, and a character that no piece begins with is taken out before.
    """

    def __init__(self, pieces: list[str]) -> None:
        self._row: dict[int, int] = {}
        vocabulary: dict[str, int] = {_UNKNOWN: 0}
        for row, piece in enumerate(pieces):
            spellings = [piece, CONTINUATION + piece] if _UNSPACED.match(piece) else [piece]
            for spelling in spellings:
                vocabulary[spelling] = len(vocabulary)
                self._row[vocabulary[spelling]] = row
        known = "".join(piece for piece in pieces if len(piece) == 1 and _UNSPACED.match(piece))
        model = models.WordPiece(vocabulary, unk_token=_UNKNOWN, max_input_chars_per_word=10_000)
        self._tokenizer = Tokenizer(model)
        self._tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.NFKD(),
                normalizers.Replace(Regex(f"[{DROPPED}]"), ""),
                normalizers.Lowercase(),
                *(normalizers.Replace(one, other) for one, other in FOLDED.items()),
                normalizers.NFC(),
            ],
        )
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(f"[{SEPARATORS}]+"), "removed"),
                pre_tokenizers.Split(Regex(f"[{UNSPACED}]+"), "isolated"),
                pre_tokenizers.Split(Regex(f"[{UNSPACED}&&[^{known or 'a'}]]"), "removed"),
            ],
        )

    def rows(self, text: str) -> list[int]:
        found = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [self._row[number] for number in found if number in self._row]


@cache
def shipped() -> tuple[WordPiece, Reference]:
    pieces = static._read(static._content()).pieces
    return WordPiece(pieces), Reference(pieces)


SENTENCES = {
    "English": "How do I bake sourdough bread, at home? It's 3 o'clock; re-read co-operation!",
    "code": "def f(x: int) -> list[str]:\n\treturn [str(i) for i in range(x)]  # HTTPServer_v2",
    "German": "Wie berechne ich die Fläche eines gleichschenkligen Dreiecks? Straße, ẞ, größer.",
    "French": "L’été dernier, j’ai dû réécrire « tout » le cœur du système.",
    "Spanish": "¿Cómo se conjugan los verbos irregulares? ¡Ñandú!",
    "Turkish": "İstanbul'da hava nasıl? IŞIK ılık, çalışıyorum.",
    "Vietnamese": "Làm thế nào để học tiếng Việt nhanh nhất?",
    "Polish": "Zażółć gęślą jaźń; wytłumacz, proszę, łąkę.",
    "Russian": "Объясни, пожалуйста, теорему Пифагора: ёлка, йод, подъезд.",
    "Ukrainian": "Поясніть, будь ласка, ґанок і їжак.",
    "Greek": "Ποιος έγραψε την Οδύσσεια; ΟΔΟΣ Ὀδυσσεύς.",
    "Arabic": "كَيْفَ أَتَعَلَّمُ البرمجةَ بسرعةٍ؟ الإسلام، آخر، لاإله ﷺ مـــرحبا",
    "Persian": "چگونه می‌توانم برنامه‌نویسی یاد بگیرم؟",
    "Urdu": "میں اردو میں خط کیسے لکھوں؟",
    "Hebrew": "אֵיךְ לוֹמְדִים עברית? צה״ל",
    "Hindi": "मुझे गणित के प्रश्न हल करने का तरीका बताइए। क़लम",
    "Bengali": "আমাকে বাংলা ব্যাকরণ শেখাও।",
    "Tamil": "தமிழில் ஒரு கவிதை எழுதுங்கள்.",
    "Thai": "ช่วยอธิบายวิธีทำอาหารไทยให้หน่อย น้ำใจ ๑๒๓",
    "Khmer": "សូមជួយខ្ញុំរៀនភាសាខ្មែរ។",
    "Chinese": "如何在家烤面包？請解釋量子糾纏，謝謝。𠮷野家",
    "Japanese": "家でパンを焼く方法を教えてください。ガギグ、ｶﾀｶﾅ、ー々〆",
    "Korean": "집에서 빵을 굽는 방법을 알려주세요. 안녕하세요?",
    "emoji": "🍞 + 🔥 = 👨‍👩‍👧 👍🏽 ❤️ 🇯🇵 ☕",
    "look-alikes": "Ｆｕｌｌ ｗｉｄｔｈ 𝐛𝐨𝐥𝐝 ﬁne ½ ① x² Å Å",
    "invisible": "zero\u200bwidth so\u00adft \u202eleft\ufeff \x00 nul\x1funit\x85next\u2028line",
    "mixed": "用Python写一个bot，支持 한국어と日本語 and العربية123abc",
}


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES.keys())
def test_a_sentence_is_cut_as_the_reference_cuts_it(sentence: str) -> None:
    ours, reference = shipped()
    assert ours.rows(sentence) == reference.rows(sentence)
    assert ours.rows(sentence) == reference.rows(sentence), "nor otherwise from memory"


@given(st.text(max_size=60))
def test_any_text_is_cut_as_the_reference_cuts_it(text: str) -> None:
    ours, reference = shipped()
    assert ours.rows(text) == reference.rows(text)


@given(st.lists(st.sampled_from(sorted(" ".join(SENTENCES.values()))), max_size=40).map("".join))
def test_any_mix_of_scripts_is_cut_as_the_reference_cuts_it(text: str) -> None:
    ours, reference = shipped()
    assert ours.rows(text) == reference.rows(text)


PIECES = ["play", "##ing", "##s", "un", "日", "日本", "語", "本", "a", "1", "##1"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("playing", ["play", "##ing"]),
        ("Plays, PLAYING", ["play", "##s", "play", "##ing"]),
        ("played", []),
        ("playinging", ["play", "##ing", "##ing"]),
        ("日本語", ["日本", "語"]),
        ("日語", ["日", "語"]),
        ("日x語", ["日", "語"]),
        ("日英語", ["日", "語"]),
        ("日本", ["日本"]),
        ("本日", ["本", "日"]),
        ("", []),
        (" .,\n", []),
        ("a" * 101, []),
        ("11111 11111", ["1"] + ["##1"] * 4 + ["1"] + ["##1"] * 4),
    ],
)
def test_a_word_is_cut_into_its_longest_pieces_or_not_at_all(text: str, pieces: list[str]) -> None:
    assert [PIECES[row] for row in WordPiece(PIECES).rows(text)] == pieces


def test_numbers_and_long_words_are_not_cached() -> None:
    cutter = WordPiece(PIECES)
    cutter.rows("playing 41111111111 sk-kqzxjvkqzxjvkqzxjv a1 playsssssssssssssssss playsssss")
    assert set(cutter._cache) == {"playing"}


def test_the_cache_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("querybudget.embedding.wordpiece._MAX_CACHED", 3)
    cutter = WordPiece(PIECES)
    for word in ("plays", "playing", "uns", "uning", "as", "aing"):
        assert cutter.rows(word)
        assert 1 <= len(cutter._cache) <= 3


def test_an_empty_vocabulary_has_no_rows() -> None:
    assert WordPiece([]).rows("any text, 日本") == []


MARKS = st.sampled_from("\u0301\u0315\u1dca\u20d0\u0591\u3099\uff9e\u0345")


@given(st.text(MARKS, min_size=31, max_size=90))
def test_only_the_first_marks_of_many_on_one_letter_count(marks: str) -> None:
    assert normalise(f"a{marks}b") == normalise(f"a{marks[:30]}b")


@given(st.text(MARKS, max_size=30))
def test_a_letter_with_as_many_marks_as_any_language_writes_is_normalised_as_usual(
    marks: str,
) -> None:
    text = unicodedata.normalize("NFKD", f"a{marks}b")
    text = re.sub(f"[{DROPPED}]+", "", text).lower()
    assert normalise(f"a{marks}b") == unicodedata.normalize("NFC", text)


@given(st.text(max_size=200), st.sampled_from("\ufdfa\u3300\uac01\u1fa3a"), st.integers(0, 500))
def test_a_text_hardly_grows_when_it_is_normalised(text: str, sign: str, times: int) -> None:
    text += sign * times
    assert len(normalise(text)) <= len(text) + 64
