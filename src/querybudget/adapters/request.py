"""Reading requests: a body's members one by one, and bounds on the numbers that a client sends.

A member is decoded when it is asked for, so one that no estimate needs costs next to nothing, and
one of an odd type spoils no other. Nulls count as absent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw

from querybudget.adapters import lax
from querybudget.adapters.lax import Json
from querybudget.adapters.readings import NAMES, SPREAD, TooMuchError, is_misspelt
from querybudget.errors import BodyError

MAX_CHOICES = 16_384
"""Most answers one call may request: the limit of vLLM."""

MAX_OUTPUT = 10_000_000
"""A client's limit on output tokens counts as at most this: no model writes longer answers."""

MAX_LOGPROBS = 200_000
"""Most alternatives per token that are counted, and what ``-1`` stands for (in vLLM: the whole
vocabulary)."""

COUNTS = frozenset(
    {
        *("n", "best_of", "num_return_sequences", "num_generations", "num_completions"),
        *("candidate_count", "candidateCount", "n_cmpl", "num_outputs"),
    }
)
"""Members that say how many answers a call requests. No server knows all; proxies pass them on."""

LIMITS = frozenset(
    {
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens"),
        "n_predict",
    }
)
"""Members that limit the output tokens; of several, a server may know only one."""

MOST_KNOWN = 4096
"""Objects that are kept by their names. When there are more, all are dropped."""

LONGEST_KNOWN = 200
"""Characters of all names of an object that is kept by them, at most."""

MAX_MEMBERS = 10_000
"""Most members of a request; no client sends so many."""

BOM = b"\xef\xbb\xbf"
"""The UTF-8 byte order mark, which servers allow before JSON."""

PLAIN = frozenset(NAMES.values()) | {
    *("temperature", "top_p", "top_k", "stop", "seed", "user", "metadata", "store", "logit_bias"),
    *("presence_penalty", "frequency_penalty", "response_format", "stream_options", "tool_choice"),
    *("parallel_tool_calls", "reasoning_effort", "encoding_format", "dimensions", "stop_sequences"),
}
"""Common members, none of which is another spelling of one that is read."""

_HOLDERS = {list, dict}
_NULL = Raw(b"null")
_CERTAIN = (Raw(b"false"), Raw(b"true"), _NULL)
_DIGITS = b"-0123456789"
_HOLDING = frozenset({b'"', b"[", b"{"})
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_OBJECTS = msgspec.json.Decoder(list[dict[str, Raw]])
_ENCODER = msgspec.json.Encoder()
_VALUE: msgspec.json.Decoder[Json] = msgspec.json.Decoder()
_DIGIT = re.compile(rb"\d")
_MISSING = re.compile(r"Object missing required field (`[^`]+`)")
"""How msgspec says that a member is not there."""

NOTHING = Raw(b"")
"""The default of a member that is kept as JSON."""

_T = TypeVar("_T")


class Request:
    """The members of a JSON object, each read for itself.

    Args:
        members: The members as JSON, by name.
        expected: What the object should be, for error messages.
    """

    __slots__ = ("_expected", "_members")

    def __init__(self, members: dict[str, Raw], expected: str) -> None:
        self._members = members
        self._expected = expected

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: str) -> bool:
        return self._members.get(name, _NULL) != _NULL

    def texts(self) -> list[str]:
        """Return which members may hold text, in the order of the body."""
        return [name for name, raw in self._members.items() if _first_byte(raw) in _HOLDING]

    def numbers(self, name: str) -> bytes:
        """Return the JSON of a member that is a list of numbers, at any depth; else nothing."""
        data = bytes(self._members.get(name, _NULL))
        is_list = data[:1] == b"[" and b'"' not in data and b"{" not in data
        return data if is_list and _DIGIT.search(data) else b""

    def value(self, name: str) -> Json:
        """Return a member, decoded; None if it is null or missing.

        Raises:
            BodyError: It is no JSON that every reader takes.
        """
        raw = self._members.get(name)
        if raw is None:
            return None
        try:
            value = _VALUE.decode(raw)
        except RecursionError:
            raise BodyError(self._problem("the JSON is nested too deeply")) from None
        except ValueError as error:
            if _first_byte(raw) in _DIGITS:  # a number beyond any float
                return lax.number(bytes(raw).decode())
            raise BodyError(self._problem(str(error), name)) from None
        if type(value) in _HOLDERS and b"{" in (text := bytes(raw)) and not each_once(text, value):
            raise BodyError(self._problem("a member is given twice, or has odd escapes", name))
        return value

    def array(self, name: str) -> list[Json]:
        """Return a member that must be an array.

        Raises:
            BodyError: It is missing, or something else.
        """
        value = self.value(name)
        if isinstance(value, list):
            return value
        if name not in self._members:
            raise BodyError(self._problem(f"the required field `{name}` is missing"))
        found = "null" if value is None else type(value).__name__
        raise BodyError(self._problem(f"Expected `array`, got `{found}`", name))

    def bound(self) -> int | None:
        """Return the limit on output tokens, by whatever name a server has for it."""
        return output_bound(*[self.number(name) for name in self.named(LIMITS)])

    def text(self, name: str) -> str:
        """Return a member that is text; the empty text for any other."""
        return lax.text(self.value(name)) if name in self._members else ""

    def flag(self, name: str) -> bool:
        """Return a member that is a flag, as `lax.flag` reads it; False if it is missing."""
        return name in self._members and lax.flag(self.value(name))

    def ambiguous(self, name: str) -> bool:
        """Return True if some readers take a member for true and others for false."""
        raw = self._members.get(name, _NULL)
        return raw not in _CERTAIN and lax.ambiguous(self.value(name))

    def number(self, name: str) -> float | None:
        """Return a member that is a number, as `lax.number` reads it."""
        return lax.number(self.value(name)) if name in self._members else None

    def named(self, names: frozenset[str]) -> list[str]:
        """Return which of some members there are, in the order of the body."""
        if names.isdisjoint(self._members):
            return []
        return [name for name in self._members if name in names and name in self]

    def choices(self) -> int:
        """Return how many answers a call requests, by whatever name a server has for that."""
        return choices_of(*[self.number(name) for name in self.named(COUNTS)])

    def size(self, name: str) -> int:
        """Return the bytes of a member's JSON; 0 if it is null or missing."""
        raw = self._members.get(name, _NULL)
        return 0 if raw == _NULL else len(raw)

    def within(self, name: str) -> Request:
        """Return the members of an object that is itself a member; none if it is no object."""
        raw = self._members.get(name, _NULL)
        is_object = _first_byte(raw) == b"{"
        return _read(raw, self._expected) if is_object else Request({}, self._expected)

    def objects(self, name: str) -> list[dict[str, Raw]]:
        """Return the members of each object in an array.

        Raises:
            BodyError: It is missing, or an array of anything else.
        """
        try:
            return _OBJECTS.decode(self._members.get(name, _NULL))
        except (ValueError, RecursionError) as error:
            raise BodyError(self._problem(str(error), name)) from None

    def _problem(self, problem: str, name: str = "") -> str:
        place = f" - at `$.{name}`" if name and "`$" not in problem else ""
        return f"Expected {self._expected}: {problem}{place}."


def _first_byte(raw: Raw) -> bytes:
    return bytes(memoryview(raw)[:1])


def read_request(body: bytes, expected: str) -> Request:
    """Read the members of a body.

    Args:
        body: The body, decompressed; a leading UTF-8 byte order mark is allowed.
        expected: What the body should be, for error messages.

    Raises:
        BodyError: It is not strict JSON, not an object, names a member twice, in any spelling, or
            has members that some servers put in place of its own. `read_call` then tries each of
            its `readings`.
    """
    request = _read(body.removeprefix(BOM), expected)
    if len(request) > MAX_MEMBERS:
        raise TooMuchError(f"Expected at most {MAX_MEMBERS} members.")
    if SPREAD in request:
        raise BodyError(f"Expected {expected}, found `{SPREAD}`, which only some servers spread.")
    return request


def _read(body: bytes | Raw, expected: str) -> Request:
    try:
        members = _MEMBERS.decode(body)
    except RecursionError:
        raise BodyError(f"Expected {expected}: the JSON is nested too deeply.") from None
    except ValueError as error:  # malformed JSON, names that are not UTF-8, no object
        raise BodyError(f"Expected {expected}: {error}.") from None
    if not members.keys() <= PLAIN:
        check_spelling(members)
    _check_once(bytes(body), members, expected)
    return Request(members, expected)


def check_spelling(members: Iterable[str]) -> None:
    """Check that no member is one that only readers that ignore case take for one that is read.

    Raises:
        BodyError: One is.
    """
    for name in members:
        if name not in PLAIN and is_misspelt(name):
            raise BodyError(f"Expected members in their own spelling, found `{name}`.")


class Known(dict[tuple[str, ...], _T]):
    """What objects hold, by their names in order. Long names that no dialect knows are not kept.

    Args:
        names: Those that are known.
        hold: Returns what an object of some names holds.

    Looking an object up raises BodyError if a name of it is one that is read, in another spelling.
    """

    def __init__(self, names: frozenset[str], hold: Callable[[tuple[str, ...]], _T]) -> None:
        super().__init__()
        self._names = names
        self._hold = hold

    def __missing__(self, names: tuple[str, ...]) -> _T:
        held = self._hold(names)
        if not self._names.issuperset(names):
            check_spelling(names)
            if sum(map(len, names)) > LONGEST_KNOWN:
                return held
        if len(self) >= MOST_KNOWN:
            self.clear()
        self[names] = held
        return held


def _check_once(body: bytes, members: dict[str, Raw], expected: str) -> None:
    """Check that an object has no more members than were found.

    What is left of its JSON besides names, values and punctuation must be white space.
    """
    # Quotes, a colon and a comma for each; braces; no comma at the end.
    punctuation = 4 * len(members) + (1 if members else 2)
    values = sum(map(len, members.values()))
    if len(body) == punctuation + values + sum(map(len, members)):
        return
    names = "".join(members).encode()
    if not names.replace(
        b"_", b""
    ).isalnum():  # names may be written with escapes, or hold white space
        names = b"".join([_ENCODER.encode(name)[1:-1] for name in members])
    left = len(body) - punctuation - values - len(names)
    if left != _white(body) - _white(b"".join(members.values())) - _white(names):
        raise BodyError(f"Expected {expected}: a member is given twice, or written with escapes.")


def each_once(text: bytes, document: Json) -> bool:
    """Return True if no object of some JSON names a member twice; False if one may.

    However a string is written, JSON that is encoded again has no more quotes that begin or end
    one, and each member once.

    Args:
        text: The JSON.
        document: What it was decoded to.
    """
    again = msgspec.json.encode(document)
    return text == again or _quotes(text) == _quotes(again)


def _quotes(text: bytes) -> int:
    """Return how many quotes of some JSON come after no backslash."""
    return text.count(b'"') - text.count(b'\\"')


def _white(text: bytes) -> int:
    return len(text) - len(text.translate(None, b" \n\r\t"))


def read_body(decoder: msgspec.json.Decoder[_T], body: bytes, expected: str) -> _T:
    """Decode a request body into a type.

    Args:
        decoder: A decoder of the type that the path takes.
        body: The body, decompressed; a leading UTF-8 byte order mark is allowed.
        expected: What the body should be, for the error message.

    Raises:
        BodyError: The body is not JSON, or not of that type.
    """
    try:
        return decoder.decode(body.removeprefix(BOM))
    except RecursionError:
        raise BodyError(f"Expected {expected}: the JSON is nested too deeply.") from None
    except ValueError as error:  # malformed JSON, text that is not UTF-8, wrong types
        problem = _MISSING.sub(r"the required field \1 is missing", str(error))
        raise BodyError(f"Expected {expected}: {problem}.") from None


def json_size(raw: Raw) -> int:
    """Return the size in bytes of a member kept as JSON; 0 if it is null or missing."""
    size = len(raw)
    return size if size > len(_NULL) else 0


def utf8_size(text: str) -> int:
    """Return the size of a text in UTF-8 bytes."""
    return len(text) if text.isascii() else len(text.encode())


def joined(texts: Sequence[str]) -> str:
    """Return texts one per line, without a copy if there is only one."""
    return texts[0] if len(texts) == 1 else "\n".join(texts)


# -- Numbers that a client sends -----------------------------------------------------------------


def choices_of(*counts: float | None) -> int:
    """Return how many answers a call requests: the largest of ``n``, ``best_of`` etc., default 1.

    A count below 1, or above `MAX_CHOICES`, is that bound: servers answer it with an error, or with
    no more than that. A fraction is rounded up.
    """
    largest = max((count for count in counts if count is not None), default=1)
    return math.ceil(min(max(1, largest), MAX_CHOICES))


def output_bound(*bounds: float | None) -> int | None:
    """Return the largest limit on output tokens, at most `MAX_OUTPUT`; None without one.

    Servers disagree about 0 and -1, which some take for "no limit" (llama.cpp), so neither is one,
    nor is any other number below 1. Of several limits, a server may know only one. A fraction is
    rounded up.
    """
    given = [bound for bound in bounds if bound is not None]
    if not given or min(given) <= 0:
        return None
    return math.ceil(min(max(given), MAX_OUTPUT))


def alternatives(count: float | None) -> int:
    """Return how many alternatives with log-probabilities a call requests for each token.

    ``true`` and 0 request the chosen token's only, which is 1; ``-1``, or any other number below 0,
    the whole vocabulary's. A fraction is rounded up.
    """
    if count is None or count is False:
        return 0
    return math.ceil(min(max(1, count), MAX_LOGPROBS)) if count >= 0 else MAX_LOGPROBS
