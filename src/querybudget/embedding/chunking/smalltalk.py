"""Takes off the small talk before and behind a task: greetings, thanks, and who asks why.

`Repeats` and `Habits` take off what a caller says again and again. Small talk that is new in every
call says as little of what is asked, but its "I" and "you" would hide how the task is phrased, and
its words what it is about. It is told by everyday words alone, so a clause with words of its own
stays. A text that consists of small talk stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from querybudget.coverage import lexicon
from querybudget.embedding.chunking import everyday

LONG = 120
"""Characters of a sentence that may be small talk, at most."""

MOST = 6
"""Sentences or clauses that are taken off each end of a text, at most."""

OWN = 1
"""Words of its own that a greeting may have, such as a name, which stays. Other small talk has
none. Two words are enough to ask for something, so none but everyday ones are taken off."""

SHORTEST, FEWEST = 12, 2
"""Characters, and words that are not everyday ones, of which what remains has at least as many."""

EVERYDAY, PERSON, ASKED, COURTESY, GREETING, TASK = 1, 2, 4, 8, 16, 32
BEGINNING, ENDING, AFTER, YOU, HINT = 64, 128, 256, 512, 1024
_CHAT = ASKED | COURTESY
_GREETED = 5  # words of a greeting, at most
_ALONE = 3  # everyday words that are a clause of small talk by themselves, at most
_END = 24  # characters at the end of a text that show its last word
_SIGNS = 6  # signs of a sentence after which it may end
_INTRODUCED, _ADDED = 3, 2  # words of an introduction, and of an afterthought, at least
_PATTERN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_WORD, _WORDS = _PATTERN.finditer, _PATTERN.findall
_SIGN = re.compile(
    r"(?:\.{1,3}|[,:;!?)\u2026\u2013\u2014]{1,8})(?=\s|$)|\s[-\u2013\u2014](?=\s)|\n"
    r"|[\u3002\uff01\uff1f\uff1a\uff0c]"
).finditer
_LIGHT = frozenset(",;:-\u2013\u2014)\uff0c\uff1a")  # end a clause, but no sentence
_MAX_CACHED = 1 << 15  # words
_APOSTROPHES = str.maketrans("", "", "'\u2019")


def _marked() -> dict[str, int]:
    marks = dict[str, int]()

    def mark(flag: int, words: str) -> None:
        for word in words.split():
            marks[word] = marks.get(word, 0) | flag

    plain = everyday.PLAIN.split()
    for word, kinds in lexicon.MARKS.items():
        if kinds & (lexicon.FIRST | lexicon.COURTESY | lexicon.SECOND):
            mark(PERSON, word)
        if kinds & lexicon.COURTESY and word not in plain:
            mark(COURTESY, word)
    mark(EVERYDAY, everyday.ENGLISH)
    mark(EVERYDAY, everyday.OTHERS)
    mark(PERSON, everyday.PERSONS)
    mark(ASKED, everyday.ASKED)
    mark(COURTESY, everyday.COURTEOUS)
    mark(EVERYDAY | PERSON | COURTESY | GREETING, everyday.GREETINGS)
    mark(EVERYDAY | PERSON | COURTESY, everyday.UNSPACED)
    mark(TASK, everyday.TASKS)
    mark(BEGINNING, everyday.BEGINNINGS)
    mark(ENDING, everyday.ENDINGS)
    mark(AFTER, everyday.AFTER_ASKED)
    mark(YOU, "you u")
    mark(HINT, everyday.HINTS)
    return marks


_KNOWN = _marked()


class _Marks(dict[str, int]):
    """The marks of each word seen before. A full cache is cleared: a word is cheap to look up."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _MAX_CACHED:
            self.clear()
        mark = self[word] = _KNOWN.get(word.lower().translate(_APOSTROPHES), 0)
        return mark


_MARKS = _Marks()


def without_small_talk(text: str) -> str:
    """Return a text without the small talk that it begins and ends with.

    Args:
        text: What a caller says.
    """
    begin, stop = 0, len(text)
    first = next(_WORD(text, 0, LONG), None)
    if first is not None and _mark(first) & EVERYDAY:
        begin = _introduced(text, _opened(text))
    last = _WORDS(text[max(begin, stop - _END) :])
    if last and _MARKS[last[-1]] & EVERYDAY:
        stop = _added(text, begin, _closed(text, begin))
    if not begin and stop == len(text):
        return text
    rest = text[begin:stop].strip()
    if len(rest) < SHORTEST or len([*islice(_own(rest), FEWEST)]) < FEWEST:
        return text
    names = [*_own(text[:begin]), *_own(text[stop:])]  # whatever is hidden in a greeting is read
    return " ".join([rest, *names])


def _own(text: str) -> Iterator[str]:
    """Yield the words of a text that are not everyday ones."""
    return (word[0] for word in _WORD(text) if not _mark(word) & EVERYDAY)


def _mark(word: re.Match[str]) -> int:
    return _MARKS[word[0]]


def _marks(text: str) -> list[int]:
    return [_MARKS[word] for word in _WORDS(text)]


def _all(marks: Sequence[int]) -> int:
    every = 0
    for mark in marks:
        every |= mark
    return every


def _is_talk(marks: Sequence[int], *, light: bool) -> bool:
    """Return whether a clause is small talk by the marks of its words.

    Args:
        marks: Of each of its words.
        light: Whether the sign at its end, or before it, ends no sentence.
    """
    every, own = _all(marks), sum([not mark & EVERYDAY for mark in marks])
    if not own:
        return not light or every & _CHAT > 0 or len(marks) <= _ALONE
    return marks[0] & GREETING > 0 and len(marks) <= _GREETED and own <= OWN


def _opened(text: str) -> int:
    """Return where the small talk ends that whole clauses of a text's beginning are."""
    at = 0
    for _ in range(MOST):
        end = _first_end(text, at)
        if not end:
            break
        at = end
    return at if _all(_marks(text[:at])) & PERSON else 0


def _first_end(text: str, at: int) -> int:
    """Return where the longest small talk from there on ends, a sentence at most; 0 for none."""
    for sign in reversed([*_ends(text, at)]):
        clause, marks = sign[0].strip()[:1], _marks(text[at : sign.start()])
        if marks and marks[0] & TASK and (clause != "?" or len(marks) > _GREETED):
            continue
        if clause == "?" and not _all(marks) & YOU:
            continue
        if _is_talk(marks, light=clause in _LIGHT):
            return sign.end()
    return 0


def _ends(text: str, at: int) -> Iterator[re.Match[str]]:
    """Yield the signs at which the clauses of a sentence end, except at the end of the text."""
    for number, sign in enumerate(_SIGN(text, at, at + LONG), 1):
        if sign.end() >= len(text):
            return
        yield sign
        if number == _SIGNS or sign[0].strip()[:1] not in _LIGHT:
            return


def _introduced(text: str, at: int) -> int:
    """Return where an introduction ends that no sign ends: "I was wondering"."""
    run: list[tuple[int, int]] = []
    end = at
    for word in _WORD(text, at, at + LONG):
        mark = _mark(word)
        if not mark & EVERYDAY or (run and (mark & TASK or any(_SIGN(text, end, word.start())))):
            break
        end = word.end()
        run.append((mark, end))
    length = max((n for n, (mark, _) in enumerate(run, 1) if mark & _CHAT), default=0)
    while length and length < len(run) and run[length][0] & AFTER:
        length += 1
    every = _all([mark for mark, _ in run[:length]])
    if length < _INTRODUCED or not run[0][0] & BEGINNING or not (every & PERSON and every & ASKED):
        return at
    return run[length - 1][1]


def _closed(text: str, begin: int) -> int:
    """Return where the small talk begins that whole clauses of a text's last line are."""
    stop = len(text)
    for _ in range(MOST):
        base = max(begin, stop - LONG)
        tail = text[base:stop].rstrip()
        last = None
        for sign in _SIGN(tail):
            if any(_WORD(tail, sign.end())):
                last = sign
        if last is None or "\n" in last[0] or not _closes(tail[last.end() :], last[0]):
            break
        stop = base + last.end()
    return stop if _all(_marks(text[stop:])) & (_CHAT | PERSON) else len(text)


def _closes(clause: str, before: str) -> bool:
    """Return whether a clause at the end of a text is small talk.

    Args:
        clause: The clause.
        before: The sign before it.
    """
    marks = _marks(clause)
    if clause.rstrip().endswith("?"):
        every = _all(marks)
        if marks[0] & TASK and not (every & YOU and every & ASKED):
            return False
        if not every & (YOU | HINT):
            return False
    return _is_talk(marks, light=before.strip()[:1] in _LIGHT)


def _added(text: str, begin: int, stop: int) -> int:
    """Return where an afterthought begins before which no sign is: "thanks a lot"."""
    run: list[tuple[int, int]] = []
    begin = max(begin, stop - LONG, text.rfind("\n", begin, stop) + 1)
    for word in reversed([*_WORD(text, begin, stop)]):
        mark = _mark(word)
        if not mark & EVERYDAY:
            break
        run.append((mark, word.start()))
    while run and not run[-1][0] & ENDING:
        run.pop()
    if len(run) < _ADDED or not _all([mark for mark, _ in run]) & _CHAT:
        return stop
    return run[-1][1]
