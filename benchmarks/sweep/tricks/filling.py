"""Words, letters and turns between those of the task: they fill a chunk, or a call."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator

from benchmarks.sweep.bodies import Request, chat, said, system
from benchmarks.sweep.tricks.scene import Scene, Trick, body_of_each, text_of_each

__all__ = ["FILLINGS"]

TURNS = 2_000
"""Short turns of a call that holds `TASKS` tasks."""

TASKS = 20
FRAME = 2_500
"""Characters before a task, and as many behind it."""

OTHER_WORDS = 160
RECORDS, RECORD_WORDS = 3, 25
"""Records beside a task, and the words of each."""
LINES = 6
NICKS = ("bob", "mia", "tux", "zed")
SHORT = 200
"""Characters of an honest text that is a record or a line of a chat."""

_VOWEL = re.compile("([aeiouAEIOU])")
_CYRILLIC = str.maketrans("abcdefghijklmnopqrstuvwxyz", "абцдефгхийклмнопярстувшхыз")


def _each_word(name: str, change: Callable[[str], str]) -> Trick:
    return text_of_each(name, lambda text, _: " ".join(map(change, text.split(" "))))


def _numbered(text: str, _: Scene) -> str:
    return "\n".join(f"{number}. {word}" for number, word in enumerate(text.split()))


def _named(text: str, _: Scene) -> str:
    return json.dumps({f"w{number}": word for number, word in enumerate(text.split())})


def _shuffled(word: str) -> str:
    inside = [*word[1:-1]]
    random.Random(word).shuffle(inside)
    return word[:1] + "".join(inside) + word[-1:] if len(word) > 1 else word


def _letters(text: str, scene: Scene) -> bytes:
    return chat([*system(scene.template), *map(said, text)])


def _framed(text: str, scene: Scene) -> str:
    frame = " ".join(scene.cover)[:FRAME]
    return f"{frame}\n{text}\n{frame}"


def _among_other_words(text: str, scene: Scene) -> str:
    """Shuffle words that are always the same, and say the task in their middle."""
    words = " ".join(scene.cover).split()[:OTHER_WORDS]
    scene.draw.shuffle(words)
    middle = len(words) // 2
    return " ".join([*words[:middle], text, *words[middle:]])


def _among_nonsense(text: str, scene: Scene) -> str:
    """Return a JSON list of the task and records of honest words at random, new each time."""
    words = sorted({word for word in " ".join(scene.cover).lower().split() if word.isalpha()})
    some = words or scene.cover  # of code alone
    records = [" ".join(scene.draw.choices(some, k=RECORD_WORDS)) for _ in range(RECORDS)]
    return json.dumps(scene.draw.sample([text, *records], RECORDS + 1), ensure_ascii=False)


def _among_records(text: str, scene: Scene) -> str:
    """Return JSON of the task and records that an honest caller wrote, and which to answer."""
    texts = scene.draw.sample([text, *_honest(scene, RECORDS)], RECORDS + 1)
    rows = [{"id": scene.draw.randrange(10_000), "text": one} for one in texts]
    answer = f"reply to id {rows[texts.index(text)]['id']}"
    return json.dumps(rows, ensure_ascii=False) + "\n" + answer


def _among_lines(text: str, scene: Scene) -> str:
    """Return a chat in which somebody says the task in one line."""
    texts = [" ".join(one.split()) for one in [text, *_honest(scene, LINES)]]
    lines = [f"<{scene.draw.choice(NICKS)}> {one}" for one in texts]
    return "\n".join(scene.draw.sample(lines, len(lines)))


def _in_code(text: str, scene: Scene) -> str:
    """Return lines that somebody else wrote, with the task as a string between them."""
    one, other = _honest(scene, 2)
    return f"{one}\nTEXT = {json.dumps(text, ensure_ascii=False)}\n{other}\nwhat is TEXT about?"


def _honest(scene: Scene, number: int) -> list[str]:
    return [one[:SHORT] for one in scene.draw.choices(scene.cover, k=number)]


def _short_turns(scene: Scene) -> Iterator[Request]:
    for begin in range(0, len(scene.prompts), TASKS):
        some = scene.prompts[begin : begin + TASKS]
        texts = [f"ok, number {scene.draw.randrange(10**9)} is done" for _ in range(TURNS)]
        texts += some
        scene.draw.shuffle(texts)
        body = chat([*system(scene.template), *map(said, texts)])
        yield Request(body, tuple(range(begin, begin + len(some))))


FILLINGS = (
    text_of_each("word_a_line_numbered", _numbered),
    text_of_each("word_a_member", _named),
    text_of_each("without_spaces", lambda text, _: text.replace(" ", "")),
    text_of_each("camel_case", lambda text, _: text.title().replace(" ", "")),
    _each_word("letters_doubled", lambda word: "".join(2 * letter for letter in word)),
    _each_word("syllable_before_vowels", lambda word: _VOWEL.sub(r"ub\1", word)),
    _each_word("letters_shuffled", _shuffled),
    _each_word("vowels_left_out", lambda word: _VOWEL.sub("", word)),
    text_of_each("in_cyrillic_letters", lambda text, _: text.lower().translate(_CYRILLIC)),
    body_of_each("letter_a_turn", _letters),
    text_of_each("long_frame", _framed),
    text_of_each("among_other_words", _among_other_words),
    text_of_each("among_nonsense", _among_nonsense),
    text_of_each("among_records", _among_records),
    text_of_each("among_lines", _among_lines),
    text_of_each("string_in_code", _in_code),
    Trick("tasks_among_short_turns", _short_turns),
)
