"""What hides a text from a reader of words is undone; ordinary text comes back as it was."""

# ruff: noqa: RUF001 - letters that look like others are what this is about
from __future__ import annotations

import base64
import codecs
import gzip
import json
import random
import re
import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.embedding.normalization.folding import LONGEST, Folder
from querybudget.embedding.normalization.marks import joined
from querybudget.embedding.normalization.words import Reader
from querybudget.embedding.static import StaticEmbedder

LATIN = {
    "English": "Write a short story about a dragon who lives in a library and learns to read.",
    "French": "Explique pourquoi le ciel est bleu et comment la lumière traverse les nuages.",
    "German": "Schreibe ein kurzes Gedicht über den Winter in den Bergen und die Stille der Nacht.",
    "Spanish": "Escribe una carta formal para solicitar vacaciones durante el mes de agosto.",
    "Indonesian": "Tuliskan cerita pendek tentang seorang anak yang mencari ibunya di pasar malam.",
}
OTHERS = {
    "Russian": "Напиши короткий рассказ о собаке, которая потерялась в большом городе.",
    "Chinese": "请写一篇关于人工智能对教育影响的短文，并给出三个例子。",
    "Hindi": "मुझे भारत के इतिहास के बारे में एक छोटा निबंध लिखो।",
    "Japanese": "機械学習とは何か、初心者にもわかるように説明してください。",
    "Thai": "ช่วยเขียนบทความสั้นเกี่ยวกับการท่องเที่ยวในประเทศไทย",
    "Arabic": "اكتب مقالة قصيرة عن تاريخ مدينة القاهرة وأهم معالمها.",
}
ORDINARY = {
    "Yoruba": "Ẹ jọ̀wọ́ ẹ sọ fún mi bí mo ṣe lè se ọbẹ̀ ẹ̀gúsí tí ó dára fún àwọn àlejò mi ní ọ̀la.",
    "Hausa": "Don Allah ka gaya mini yadda zan dafa miyar kuka mai daɗi ga baƙi na gobe da safe.",
    "transliterated": "mujhe kal subah dilli jaana hai to kaun si gaadi sabse achhi rahegi bhai",
    "code": "for (int i = 0; i < n; ++i) { sum += xs[i] * ys[i]; } return std::sqrt(sum) / n;",
    "a stack trace": 'File "/srv/app/views.py", line 88, in get\n    KeyError: "qtyOnHand_2024Q1"',
    "JSON": '{"id": "a1f3-77c0", "qty": 12, "tags": ["xl", "sku-88231-B"], "eta": null}',
    "a table": "sku,qty,price\nAX-2231,14,3.50\nBQ-0917,2,18.20\nZZ-1044,30,0.99\nKL-5530,7,2.10",
    "a link": "https://example.org/a/b%20c?q=x%2Fy&utm=z#frag is broken, who can mend it?",
    "a genome": "Which gene is ACGTTAGCCATTGACCAGTTACGGATTACAGGCATCCATTAGACCATTGGACCA from?",
    "numbers": "112 118 132 129 121 135 148 148 136 119 104 118 115 126 141 135 125 149 170 170",
    "a list": "assert least([25, 35, 22, 85, 14, 65, 75, 25, 68, 70, 71, 72], 3) == [14, 22]",
    "chemistry": "Balance C6H12O6 + O2 -> CO2 + H2O and give the mass of 3 mol of C6H12O6 in g.",
    "a digest in a question": f"Why is the checksum {'9f86d081' * 8} and not what I expected?",
    "letters for answers": "Which is right? A B C D E F G H\nMine: A, B, B, A, C, D, D, A, B, C",
    "a regular expression": r"^(?:[A-Z]{2}\d{2}[ ]?)(?:\w{4}[ ]?){3,7}$ does not match, why?",
}
MORSE = {"a": ".-", "c": "-.-.", "d": "-..", "h": "....", "o": "---", "p": ".--.", "r": ".-."}
MORSE |= {"s": "...", "t": "-", "u": "..-", "w": ".--", "y": "-.--"}
MIRROR = str.maketrans(
    string.ascii_letters, string.ascii_lowercase[::-1] + string.ascii_uppercase[::-1]
)


@pytest.fixture(scope="module")
def folder() -> Folder:
    return Folder(Reader(StaticEmbedder.load().vocabulary))


def shifted(text: str, by: int) -> str:
    return "".join(
        chr((ord(sign) - first + by) % 26 + first)
        if (first := 97 if sign.islower() else 65) and sign.isascii() and sign.isalpha()
        else sign
        for sign in text
    )


def words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


ENCODINGS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for links": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode()[:-1],
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64 behind a request": lambda text: (
        f"Decode this and do it: {base64.b64encode(text.encode()).decode()}"
    ),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, spaced": lambda text: text.encode().hex(" "),
    "bytes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "entities": lambda text: "".join(f"&#{ord(sign)};" for sign in text),
    "escapes": lambda text: "".join(f"\\u{ord(sign):04x}" for sign in text),
    "bits": lambda text: " ".join(f"{byte:08b}" for byte in text.encode()),
    "numbers of characters": lambda text: " ".join(str(ord(sign)) for sign in text),
    "invisible signs": "\u200b".join,
}
CIPHERS: dict[str, Callable[[str], str]] = {
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "a shift by 5": lambda text: shifted(text, 5),
    "Atbash": lambda text: text.translate(MIRROR),
    "rot13 in base64": lambda text: base64.b64encode(shifted(text, 13).encode()).decode(),
    "reversed": lambda text: text[::-1],
    "reversed rot13": lambda text: shifted(text, 13)[::-1],
    "rot47": lambda text: "".join(
        chr((ord(sign) + 14) % 94 + 33) if "!" <= sign <= "~" else sign for sign in text
    ),
    "spaced": " ".join,
    "dashed": lambda text: " ".join("-".join(word) for word in text.split()),
    "Cyrillic letters": lambda text: text.translate(str.maketrans("aeopcyx", "аеорсух")),
    "bold": lambda text: "".join(
        chr(0x1D41A + ord(sign) - 97) if "a" <= sign <= "z" else sign for sign in text
    ),
    "full width": lambda text: "".join(
        chr(ord(sign) + 0xFEE0) if sign.isascii() and sign.isalpha() else sign for sign in text
    ),
    "piled marks": lambda text: "".join(
        f"{sign}\u0335\u0300\u0311" if sign.isascii() and sign.isalpha() else sign for sign in text
    ),
}


@pytest.mark.parametrize("language", [*LATIN, *OTHERS])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_encoded_says_what_it_said(folder: Folder, encoding: str, language: str) -> None:
    text = (LATIN | OTHERS)[language]
    folded = folder.fold(ENCODINGS[encoding](text))
    assert folded.endswith(text)
    assert folder.is_language(folded)


@pytest.mark.parametrize("language", LATIN)
@pytest.mark.parametrize("cipher", CIPHERS)
def test_what_is_ciphered_has_its_words_again(folder: Folder, cipher: str, language: str) -> None:
    assert words(folder.fold(CIPHERS[cipher](LATIN[language]))) == words(LATIN[language])


@pytest.mark.parametrize(
    ("hidden", "plain"),
    [
        ("Wr1t3 4 sh0rt st0ry 4b0ut 4 dr4g0n", "write a short story about a dragon"),
        (" / ".join(" ".join(MORSE[sign] for sign in word) for word in ["why", "cats", "purr"]),
         "why cats purr"),
        ("Itewray away oempay aboutway ethay orestfay", "write a poem about the forest"),
        ("ᴡʀɪᴛᴇ ᴀ ᴘᴏᴇᴍ ᴀʙᴏᴜᴛ ᴛʜᴇ sᴇᴀ", "write a poem about the sea"),
        ("ɐǝs ǝɥʇ ʇnoqɐ ɯǝod ɐ ǝʇᴉɹʍ", "write a poem about the sea"),
        ("⠺⠗⠊⠞⠑⠀⠁⠀⠏⠕⠑⠍", "write a poem"),
        ("".join(chr(0xE0000 + ord(sign)) for sign in "write a poem"), "write a poem"),
        ("Пришли cтихи", "Пришли cтихи"),
    ],
    ids=["leet", "Morse", "Pig Latin", "small capitals", "upside down", "Braille", "tags", "mixed"],
)  # fmt: skip
def test_other_disguises_come_off(folder: Folder, hidden: str, plain: str) -> None:
    assert words(folder.fold(hidden)) == words(plain)


TASK = "Explain how winter storms form over the northern ocean and why sailors fear them most."
GAMES: dict[str, Callable[[str], str]] = {
    "every letter twice": lambda word: "".join(2 * letter for letter in word),
    "a syllable before each vowel": lambda word: re.sub("([aeiou])", r"ub\1", word),
    "vowels with an echo": lambda word: re.sub("([aeiou])", r"\1p\1", word),
    "consonants with an echo": lambda word: re.sub("([^aeiou])", r"\1o\1", word),
    "neighbours swapped": lambda word: re.sub("(.)(.)", r"\2\1", word),
    "the first letter at the end": lambda word: word[1:] + word[0],
    "any first letter at the end, and a syllable": lambda word: word[1:] + word[0] + "oz",
}


@pytest.mark.parametrize("game", GAMES)
def test_a_game_that_is_played_with_every_word_is_undone(folder: Folder, game: str) -> None:
    hidden = re.sub("[a-z]+", lambda word: GAMES[game](word[0]), TASK.lower())
    assert words(folder.fold(hidden)) == words(TASK)


@pytest.mark.parametrize(
    "numbered",
    ["{n}. {word}\n", "{word} {n} ", '"w{n}": "{word}", ', "[{n}] {word}; "],
    ids=["lines", "between", "JSON", "brackets"],
)
def test_numbers_between_words_say_nothing(folder: Folder, numbered: str) -> None:
    hidden = "".join(numbered.format(n=n, word=word) for n, word in enumerate(TASK.split()))
    assert words(folder.fold(hidden)) == words(TASK)


def test_the_words_before_the_first_number_count_too(folder: Folder) -> None:
    plain = "please write a short story about the old house near the river trees"
    numbered = "please 1 write a 2 short story 3 about the 4 old house 5 near the 6 river 7 trees"
    assert words(folder.fold(numbered)) == words(plain)


def test_words_whose_letters_are_shuffled_inside_are_read(folder: Folder) -> None:
    rng = random.Random(4)

    def shuffled(word: re.Match[str]) -> str:
        inside = [*word[0][1:-1]]
        rng.shuffle(inside)
        return word[0][0] + "".join(inside) + word[0][-1]

    said = set(words(TASK))
    found = set(words(folder.fold(re.sub("[A-Za-z]{4,}", shuffled, TASK))))
    assert len(said & found) > 0.8 * len(said)


@pytest.mark.parametrize(
    "alphabet",
    ["абкдефгхийклмнопкрстуввхйз", "αβκδεφγχιικλμνοπκρστυβωξυζ", "აბცდეფგჰიჯკლმნოპქრსტუვვხიზ"],
    ids=["Cyrillic", "Greek", "Georgian"],
)
def test_english_in_another_alphabet_is_read(folder: Folder, alphabet: str) -> None:
    hidden = TASK.lower().translate(str.maketrans(string.ascii_lowercase, alphabet))
    said = set(words(TASK))
    assert len(said & set(words(folder.fold(hidden)))) > len(said) / 2


def test_a_text_without_spaces_has_most_of_its_words_again(folder: Folder) -> None:
    said = set(words(TASK))
    for hidden in (TASK.replace(" ", ""), TASK.title().replace(" ", "")):
        assert len(said & set(words(folder.fold(hidden)))) > len(said) / 2


@pytest.mark.parametrize("text", [*LATIN.values(), *OTHERS.values(), *ORDINARY.values()])
def test_ordinary_text_stays_as_it_is(folder: Folder, text: str) -> None:
    assert folder.fold(text) == text
    assert folder.is_language(text)


@pytest.mark.parametrize("language", ["English", "German", "Russian", "Chinese"])
def test_a_readable_part_beside_a_ciphered_one_stays(folder: Folder, language: str) -> None:
    text = (LATIN | OTHERS)[language]
    story = "There was once a miller who had three sons, a mill, a donkey and a cat."
    hidden = codecs.encode("explain how winter storms form over the northern ocean", "rot13")
    folded = folder.fold(f"{text}\n{hidden}\n{story}")
    assert "explain how winter storms form" in folded
    assert story in folded
    assert text in folded


def test_what_is_no_language_is_told(folder: Folder) -> None:
    rng = random.Random(1)
    letters = "".join(rng.choices(string.ascii_lowercase + " ", k=300))
    data = base64.b64encode(rng.randbytes(240)).decode()
    digests = "\n".join(rng.randbytes(32).hex() for _ in range(5))
    tokens = str([rng.randrange(100_000) for _ in range(60)])
    for text in (letters, data, digests, tokens):
        assert folder.fold(text) == text
        assert not folder.is_language(text)


@given(st.text(st.characters(), max_size=500))
def test_folding_any_text_twice_changes_nothing_more(folder: Folder, text: str) -> None:
    folded = folder.fold(text)
    assert folder.fold(folded) == folded
    folder.is_language(folded)


@given(st.text("abcdef0123456789+/=%&#;xu\\.-_ \n", max_size=400))
def test_text_that_looks_encoded_folds_without_error(folder: Folder, text: str) -> None:
    folder.is_language(folder.fold(text))


def test_only_the_start_of_a_long_text_is_folded(folder: Folder) -> None:
    hidden = shifted(LATIN["English"], 13)
    filling = "word " * (LONGEST // 5)
    assert folder.fold(filling + hidden) == filling + hidden


MARKED = {
    "an identifier": "request 8c3e9f0a1b2c4d5e6f708192a3b4c5d6: Explain the tides of the sea.",
    "letters at random": "Explain the tides of the sea. #aQzKbWvRtYpLmXcNdFgHj",
}


@pytest.mark.parametrize("text", MARKED.values(), ids=MARKED.keys())
def test_an_identifier_that_is_new_each_time_says_nothing(folder: Folder, text: str) -> None:
    folded = folder.fold(text)
    assert "Explain the tides of the sea." in folded
    assert len(folded) < len("request 0: Explain the tides of the sea.") + 2


WORDS = "Explain the winter storms of the northern ocean to young sailors"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([*WORDS]),
        " + ".join(repr(WORDS[at : at + 5]) for at in range(0, len(WORDS), 5)),
        "\n".join(f"p{at} = {WORDS[at : at + 7]!r}" for at in range(0, len(WORDS), 7)),
        json.dumps([WORDS[at : at + 4] for at in range(0, len(WORDS), 4)]),
    ],
    ids=["letters of a list", "pieces that are added", "assignments", "pieces of a list"],
)
def test_the_pieces_of_one_string_are_put_together(text: str) -> None:
    assert WORDS in joined(text)


@pytest.mark.parametrize(
    "text",
    ['["red", "green", "blue", "black", "white", "gold", "silver"]', "He said 'no' and 'yes'."],
    ids=["a list of words", "quotes"],
)
def test_strings_that_are_no_pieces_stay_apart(text: str) -> None:
    assert joined(text) == text


WRITTEN = {
    "pictures": " \U0001f600 ".join(WORDS.split()),
    "tags": "".join(f"<w>{word}</w>" for word in WORDS.split()),
    "commands": " ".join(rf"\text{{{word}}}" for word in WORDS.split()),
    "links": " ".join(f"[{word}](http://e.org/{len(word)})" for word in WORDS.split()),
    "lines of a log": "\n".join(f"2026-11-1{n} INFO {w}" for n, w in enumerate(WORDS.split())),
    "digits in words": "Expl4ain the win3ter sto5rms of the north1ern oc2ean to yo6ung sai7lors",
    "octal": " ".join(f"{code:03o}" for code in WORDS.encode()),
    "calls": "+".join(f"chr({ord(sign)})" for sign in WORDS),
    "quoted-printable": "".join(f"={code:02X}" for code in WORDS.encode()),
    "uuencode": codecs.encode(WORDS.encode(), "uu").decode(),
    "packed base64": base64.b64encode(gzip.compress(WORDS.encode(), mtime=0)).decode(),
    "places in the alphabet": " ".join(
        "-".join(str(ord(letter) - ord("a") + 1) for letter in word)
        for word in WORDS.lower().split()
    ),
    "letters of flags": " ".join(
        "\u200b".join(chr(0x1F1E6 + ord(letter) - ord("a")) for letter in word)
        for word in WORDS.lower().split()
    ),
    "a spelling alphabet": (
        "echo x-ray papa lima alfa india november / tango hotel echo / whiskey india november"
    ),
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN.keys())
def test_marks_between_words_and_codes_leave_the_words(folder: Folder, text: str) -> None:
    folded = folder.fold(text).lower().split()
    assert {"explain", "the"} <= set(folded)
    assert "win" in folded or "winter" in folded


@pytest.mark.parametrize(
    "text",
    [
        "Flags: \U0001f1e9\U0001f1ea and \U0001f1eb\U0001f1f7 won, \U0001f1ee\U0001f1f9 lost.",
        "The build for x86_64-pc-windows-gnu failed in getUserNameFromDatabase yesterday.",
        "Call 10-12-14 and 06-11-15, then 03-04-05 or 07-08-09 in the morning.",
        "Use <b>bold</b> and <i>italic</i> in a sentence that goes on for quite a few words here.",
    ],
    ids=["flags", "names of code", "numbers", "two tags"],
)
def test_marks_that_say_something_stay(folder: Folder, text: str) -> None:
    assert folder.fold(text) == text


HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALP"


def drawn(size: int) -> str:
    return base64.b64encode(random.Random(size).randbytes(size)).decode()


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (f">seq1\n{PROTEIN}\n{PROTEIN[::-1]}", ">seq1"),
        (f'"left-pad@1.3.0": integrity sha512-{drawn(64)}', '"left-pad@1.3.0": integrity'),
        (f"-----BEGIN PUBLIC KEY-----\n{drawn(90)}\n-----END PUBLIC KEY-----", ""),
    ],
)
def test_data_that_nobody_reads_is_taken_off_and_is_not_opaque(
    folder: Folder, text: str, rest: str
) -> None:
    folded = folder.fold(text)
    assert folded.replace(" 0 ", "").strip() == rest
    assert folder.is_language(folded)


def test_what_a_token_says_is_read_without_its_signature(folder: Folder) -> None:
    claims = base64.urlsafe_b64encode(b'{"task":"Explain how a canal lock works"}').decode()
    signature = drawn(32).translate(str.maketrans("+/", "-_")).rstrip("=")
    folded = folder.fold(f"{HEADER}.{claims.rstrip('=')}.{signature}")
    assert "Explain how a canal lock works" in folded
    assert signature not in folded


@pytest.mark.parametrize("sign", ["'", "\u2019", "|", "/", "\u20ac", "("])
def test_words_with_any_sign_inside_are_read_as_the_words(folder: Folder, sign: str) -> None:
    cut = f"ex{sign}plain how a ca{sign}nal lock wo{sign}rks in pl{sign}ain wo{sign}rds"
    assert folder.fold(cut) == "explain how a canal lock works in plain words"


@pytest.mark.parametrize(
    "text",
    [
        "I don't know if she'll come, but we're sure they've got it and he'd like it.",
        "Choose red/green, him/her or and/or, and say why you chose it.",
    ],
)
def test_contractions_and_alternatives_stay(folder: Folder, text: str) -> None:
    assert folder.fold(text) == text


def test_words_that_are_tags_are_read(folder: Folder) -> None:
    said = ["explain", "how", "a", "canal", "lock", "works", "in", "plain", "words"]
    assert folder.fold("".join(f"<{word}/>" for word in said)).split() == said


def test_words_that_are_links_are_read_without_their_addresses(folder: Folder) -> None:
    said = ["explain", "how", "a", "canal", "lock", "works", "in", "plain", "words"]
    links = " ".join(f"[{word}](http://e.org/{number})" for number, word in enumerate(said))
    assert folder.fold(links).split() == said


def test_lines_of_a_few_characters_are_pieces_of_one_text() -> None:
    said = "explain how a canal lock works in plain words, and draw one"
    assert joined("\n".join(said[at : at + 4] for at in range(0, len(said), 4))) == said
    poem = "a\nb\nlock\nof\nthe\ncanal\nso\nwide\nand\nslow"
    assert joined(poem) == poem
