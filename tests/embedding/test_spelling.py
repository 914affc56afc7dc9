"""Misspelt words, short forms and words without vowels are read as what they stand for."""

# ruff: noqa: RUF001 - letters that look like others are what this is about

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable

import pytest

from querybudget.embedding.normalization import phonetic
from querybudget.embedding.normalization.folding import Folder
from querybudget.embedding.normalization.words import Reader
from querybudget.embedding.static import StaticEmbedder

TASK = "Explain how winter storms form over the northern ocean and why sailors fear them most."


@pytest.fixture(scope="module")
def folder() -> Folder:
    return Folder(Reader(StaticEmbedder.load().vocabulary))


def words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


@pytest.mark.parametrize(
    ("hidden", "plain"),
    [
        ("How do wniter storms rpess the sailors?", "how do winter storms press the sailors"),
        ("Draw a wniter sorm and a sotrm.", "draw a winter sorm and a storm"),
        ("Please expalin the tides.", "please explain the tides"),
        ("Tell me waht the tides are.", "tell me what the tides are"),
    ],
    ids=["two words", "two words and another", "a word of orders", "a short word of questions"],
)
def test_letters_that_slipped_are_put_back(folder: Folder, hidden: str, plain: str) -> None:
    assert words(folder.fold(hidden)) == plain


@pytest.mark.parametrize(
    "text",
    [
        "Governor Palin spoke to the voters in the hall this morning.",
        "She drinks potions and sings in the old garden by the river.",
        "thx for the map of the old town, it was a great help to all of us",
        "Is U.S. law the same for us, or does each state have its own rules?",
        "The formulas x, y, b and c are defined in the second chapter.",
    ],
    ids=["a name", "a rare word", "one short form", "an abbreviation", "letters"],
)
def test_one_word_that_may_be_right_stays(folder: Folder, text: str) -> None:
    assert folder.fold(text) == text


def test_what_is_typed_as_on_a_phone_is_read_as_words(folder: Folder) -> None:
    hidden = "pls tell me wat u know abt da old house n y ppl like it"
    plain = "please tell me what you know about the old house and why people like it"
    assert words(folder.fold(hidden)) == plain


def _share(found: str, said: str) -> float:
    """Return the share of words that are found where they were said."""
    pairs = [*zip(words(found).split(), words(said).split(), strict=True)]
    return sum(one == other for one, other in pairs) / len(pairs)


def test_words_whose_letters_are_all_shuffled_are_read(folder: Folder) -> None:
    rng = random.Random(4)

    def shuffled(word: re.Match[str]) -> str:
        return "".join(rng.sample(word[0], len(word[0])))

    hidden = re.sub("[a-z]{3,}", shuffled, TASK.lower())
    assert _share(folder.fold(hidden), TASK) > 0.7


def test_english_without_vowels_has_most_of_its_words_again(folder: Folder) -> None:
    said = "Write how the winter storms break ships, then describe the last of them by name."
    assert _share(folder.fold(re.sub("[aeiouAEIOU]", "", said)), said) > 0.6


@pytest.mark.parametrize(
    "text",
    [
        "Không thể xác minh xác thực tổ chức.",
        "strč prst skrz krk, vlk zmrzl, smrž pln skvrn",
        "5x(x - 3) + 25x(x(x + 2)) = 5x(x((x - 1)x))",
        "HTTP TLS DNS TCP XML JSON PNG BMP GPT",
    ],
    ids=["Vietnamese", "Czech", "a formula", "initials"],
)
def test_what_has_few_vowels_of_its_own_stays(folder: Folder, text: str) -> None:
    assert folder.fold(text) == text


def test_english_in_cyrillic_letters_has_its_short_words_too(folder: Folder) -> None:
    letters = str.maketrans(string.ascii_lowercase, "абцдефгхийклмнопярстувшхыз")
    said = "Write why winter is what you like, for which of few words we would know."
    assert _share(folder.fold(said.lower().translate(letters)), said) > 0.9


CHANGED: dict[str, Callable[[str], str]] = {
    "a letter dropped": lambda word: word[:2] + word[3:],
    "a letter doubled": lambda word: word[:2] + word[1:],
    "a letter put behind": lambda word: f"{word}z",
    "a letter replaced": lambda word: f"{word[:2]}j{word[3:]}",
    "letters stretched": lambda word: word[:2] + word[1] * 3 + word[2:],
    "hyphens": lambda word: "-".join(word[at : at + 3] for at in range(0, len(word), 3)),
    "a dot": lambda word: f"{word[:2]}.{word[2:]}",
    "a star for a letter": lambda word: f"{word[:2]}*{word[3:]}",
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_text_whose_long_words_are_all_changed_has_most_of_them_again(
    folder: Folder, change: str
) -> None:
    hidden = re.sub("[A-Za-z]{5,}", lambda word: CHANGED[change](word[0]), TASK)
    said = {word for word in words(TASK).split() if len(word) > 4}
    assert len(said & {*words(folder.fold(hidden)).split()}) > 0.6 * len(said)


@pytest.mark.parametrize(
    "text",
    [
        "The well-known e-mail is re-used on-line by all of the co-workers.",
        "Bjarnason, Thorsdottir and Olafsson met Gudmundson in Hafnarfjord; Sigurdson came too.",
        "import numpy.linalg, os.path, self.config.name, my_module.read_csv and torch.nn.init",
        "Il giovane pescatore riparava le reti sbiadite mentre i gabbiani volteggiavano.",
        "Ang batang mangingisda ay nagkukumpuni ng kanyang lambat habang lumilipad ang mga ibon.",
    ],
    ids=["hyphens", "names", "code", "Italian", "Tagalog"],
)
def test_unknown_words_that_nobody_changed_stay(folder: Folder, text: str) -> None:
    assert folder.fold(text) == text


@pytest.mark.parametrize(
    "letters",
    [
        {"a": "ə", "e": "ɛ", "i": "ɪ", "o": "ɔ", "u": "ʊ"},
        {"a": "æ", "e": "ə"},
        {"u": "ʌ", "o": "ɔ"},
    ],
    ids=["all vowels", "schwa for e", "some vowels"],
)
def test_words_with_letters_of_phonetics_are_read(folder: Folder, letters: dict[str, str]) -> None:
    sounds = {"th": "ð", "sh": "ʃ", "ing": "iŋ", **letters}
    said = "Explain how this winter storm is forming there, and why the shipping sailors fear it."
    hidden = re.sub("|".join(sounds), lambda sound: sounds[sound[0]], said.lower())
    assert _share(folder.fold(hidden), said) > 0.9


@pytest.mark.parametrize(
    "text",
    [
        "Gənc balıqçı köhnə torlarını təmir edirdi, qağayılar isə dənizin üstündə uçurdu.",
        "Ungi sjómaðurinn gerði við netin á meðan mávarnir flugu yfir höfninni, það var gott.",
        "Vejret var værre næste dag, og mænd og kvinder læste avis ved havnen.",
        "Onipa biara wɔ ahofadi ne nidi; wɔwɔ adwene ne ahonim, na ɛsɛ sɛ wɔyɛ wɔn ho.",
        "Ɖevi la ƒo nu tso ɖevi siwo nɔ xɔa me ŋu, eye wògblɔ be yeayi ɖe ƒua nu afi si le.",
        "The words cat /kæt/, dog /dɒɡ/, this /ðɪs/ and ship /ʃɪp/ have letters of their own.",
    ],
    ids=["Azerbaijani", "Icelandic", "Danish", "Twi", "Ewe", "a few words as they sound"],
)
def test_languages_with_letters_of_phonetics_stay(folder: Folder, text: str) -> None:
    assert folder.fold(text) == text


@pytest.mark.parametrize(
    ("hidden", "plain"),
    [
        (
            "Give the ins truct ions for a multi plication.",
            "give the instructions for a multiplication",
        ),
        (
            "Desc ribe the wint er of the north ern coast.",
            "describe the winter of the northern coast",
        ),
        ("Des cribe the tides.", "describe the tides"),
    ],
    ids=["three parts", "shorter words too", "one word of orders"],
)
def test_words_that_are_cut_by_spaces_are_put_together(
    folder: Folder, hidden: str, plain: str
) -> None:
    assert words(folder.fold(hidden)) == plain


@pytest.mark.parametrize(
    "text",
    [
        "She will come back some time there after, now here and up coming, says Zbrnk.",
        "The Zbrnk scores a single S, then a double S, and then a long one.",
        "The carpen ter met Zbrnk.",
        "Croatia năm và Bulgaria năm đã gặp Zbrnk",
    ],
    ids=["frequent words", "single letters", "one word", "part of a word"],
)
def test_neighbours_that_nobody_cut_stay(folder: Folder, text: str) -> None:
    assert folder.fold(text) == text


@pytest.mark.parametrize(
    ("heard", "plain"),
    [
        (
            "eksplain the relashunship between justise and the kwality of servises",
            "explain the relationship between justice and the quality of services",
        ),
        ("eksplain how a clock works", "explain how a clock works"),
        (
            "list the fotografs of gardens wif kwarts and bees",
            "list the photographs of gardens with quartz and bees",
        ),
    ],
    ids=["many words", "one that says how it is phrased", "long ones and a short one"],
)
def test_words_that_are_spelt_as_they_sound_are_read(
    folder: Folder, heard: str, plain: str
) -> None:
    assert words(folder.fold(heard)) == plain


@pytest.mark.parametrize(
    "text",
    [
        "Mrs. Baugh and her sister came to the house by the river in the morning.",
        "youve told us that theyre at home and weve seen them",
        "Der Katholik und die Christen gehen in die Schule und singen Lieder im Park.",
    ],
    ids=["a name", "lost apostrophes", "another language"],
)
def test_names_that_sound_like_words_stay(folder: Folder, text: str) -> None:
    assert folder.fold(text) == text


@pytest.mark.parametrize(
    "word", ["əæɪɔʊʌ" * 4, "inst ruct ", "əbəvə "], ids=["vowels", "cut", "words"]
)
def test_a_long_text_costs_few_look_ups(word: str) -> None:
    """Return after a number of look-ups that grows with the text, not with its readings."""
    counted = Counted()
    phonetic.respelt(word * 600, counted)
    assert counted.looked_up <= 32 * 15


class Counted:
    """Words of which none is known, that count how often they are asked."""

    def __init__(self) -> None:
        self.looked_up = 0

    def __contains__(self, _: object) -> bool:
        self.looked_up += 1
        return False
