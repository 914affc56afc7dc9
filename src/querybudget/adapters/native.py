"""Servers' own APIs: one reader for all, told apart by a table of names.

Ollama, Gemini, TGI, SGLang, llama.cpp and others differ in where a request holds its settings and
what their members are called. `Api` says so. Everything else in a request is prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from msgspec import Raw

from querybudget.adapters import lax
from querybudget.adapters.base import Call, Dialect, Meter, Target
from querybudget.adapters.combined import copied
from querybudget.adapters.degrade import OUTPUT, Members, drop, rewrite
from querybudget.adapters.lax import Json
from querybudget.adapters.members import JSON, fold, read_object
from querybudget.adapters.model_names import NATIVE, models_of
from querybudget.adapters.native_answer import native_meter
from querybudget.adapters.opaque import opaque_of
from querybudget.adapters.prompt import Prompt
from querybudget.adapters.readings import SPREAD, TooMuchError
from querybudget.adapters.request import MAX_CHOICES, MAX_LOGPROBS, MAX_OUTPUT
from querybudget.adapters.segments import texts_of
from querybudget.errors import BodyError

MAX_SETTINGS = 16_384
"""Most settings of a request, of which SGLang takes one for each prompt."""

_LOGPROBS = (
    "decoderinputdetails",
    "logprobs",
    "nprobs",
    "promptlogprobs",
    "responselogprobs",
    "returnhiddenstates",
    "returnlogprob",
    "toplogprobs",
    "toplogprobsnum",
    "topntokens",
)
_PROMPT_LOGPROBS = ("decoderinputdetails", "promptlogprobs")
_FLOOR = ("mintokens", "minnewtokens")
_IGNORED = frozenset({"model", "stream", "user", "keepalive", "encodingformat", "format"})
_PROMPTS = frozenset({str, list, dict})
_OBJECTS: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])


class Api(msgspec.Struct, frozen=True):
    """How one API's requests are read. Names are folded: see `querybudget.adapters.members`.

    Attributes:
        operation: `Call.operation`.
        many: Members of which an array is many prompts.
        settings: Members that hold settings, as an object or a list of them; ``""`` for the request
            itself.
        bounds: Names of the limit on output tokens, among the settings.
        counts: Names of the number of answers, among the settings.
        bound: Where degrading puts a limit on output: a path of names as the server writes them, or
            empty for nowhere.
        stream: Whether an answer is streamed: if ``stream`` says so, unless it says no, or always.
        generates: Whether a model writes an answer.
        paired: The member that a model reads again with each of the `many`.
        each: Whether each of `many` may have a model and settings of its own.
        chooses: Whether the server chooses a model where a request names none.
        background: Whether an answer that is not streamed is fetched by a later call.
        dialect: The format of refusals.
        kept: Whether the path may name what the server keeps, such as a thread.
    """

    operation: str
    many: tuple[str, ...] = ()
    settings: tuple[str, ...] = ("",)
    bounds: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    bound: str = ""
    stream: Literal["asked", "unless", "always"] = "asked"
    generates: bool = True
    paired: tuple[str, ...] = ()
    each: bool = False
    chooses: bool = False
    background: bool = False
    dialect: Dialect = Dialect.PROBLEM
    kept: bool = False


class Native:
    """Reads the requests and answers of one server's own API.

    Any JSON object can be read: a server may read what its documentation does not name.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self.dialect: Dialect = api.dialect
        self._names = frozenset(name for name in api.settings if name)
        self._counted = frozenset((*api.bounds, *api.counts, *_LOGPROBS, *NATIVE))

    def parse(self, target: Target, body: bytes, /) -> Call:
        expected = f"a JSON object for {self._api.operation}"
        document = read_object(body, expected)
        if document.get(SPREAD) is not None:
            raise BodyError(
                f"Expected {expected}, found `{SPREAD}`, which only some servers spread."
            )
        return self.read(target, document)

    def read(self, target: Target, document: dict[str, Json]) -> Call:
        """Return what a decoded request asks."""
        return self.call(target, Prompt(document))

    def call(self, target: Target, prompt: Prompt, *, texts: bool = True) -> Call:
        """Return what a request asks, without what it says if only figures are of interest."""
        members = prompt.members
        many = [name for name in self._api.many if name in members]
        items = [value for name in many for value in members[name]]
        inner = _objects(items) if self._api.each else []
        settings = self._settings([prompt.document, *inner])
        count = max(1, *map(_length, items)) if items else 1
        unread = self._names | _IGNORED
        content = prompt.content([name for name in members if name not in unread])
        again = prompt.content(self._api.paired)
        stream = self._streams(members)
        named = _models(members, settings) or [None]
        if self._api.dialect is Dialect.GEMINI:  # which says `models/NAME` in bodies
            named = [n.removeprefix("models/") if isinstance(n, str) else n for n in named]
        models = models_of(target, named[0], named[1:])
        call = Call(
            dialect=self._api.dialect,
            operation=self._api.operation,
            model=models.first,
            other_models=models.others,
            stream=stream,
            ambiguous=any(map(lax.ambiguous, members.get("stream", ()))),
            items=count,
            choices=_choices(_numbers(settings, self._api.counts)),
            max_output=_bound(_numbers(settings, self._api.bounds)),
            input_bytes=content.size + again.size * (count - 1),
            input_tokens=content.tokens + again.tokens * (count - 1),
            images=content.images,
            logprobs=_alternatives(_values(settings, _LOGPROBS)),
            prompt_logprobs=_alternatives(_values(settings, _PROMPT_LOGPROBS)),
            generates=self._api.generates,
            background=self._api.background and not stream,
            any_model=self._api.chooses and not models.first,
        )
        if texts:
            call.template = prompt.system()
            if target.texts:
                call.segments, call.opaque = texts_of(prompt.document)
                if self._api.kept:
                    call.opaque += (opaque_of("reference", target.path),)
        return copied(call, models.copies)

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return native_meter(call, content_type)

    def degrade(self, body: bytes, /) -> bytes:
        return rewrite(body, self._less) if self._api.generates else body

    def _settings(self, requests: list[dict[str, Json]]) -> dict[str, list[Json]]:
        """Return the values of each setting that counts, and models, by folded names.

        Raises:
            TooMuchError: There are more than `MAX_SETTINGS`.
        """
        found: dict[str, list[Json]] = {}
        kept = self._counted if "" in self._api.settings else frozenset(NATIVE)
        for request in requests:
            for name, value in request.items():
                folded = fold(name)
                if folded in kept:
                    found.setdefault(folded, []).append(value)
                elif folded in self._names:
                    many = value if isinstance(value, list) else (value,)
                    if len(many) > MAX_SETTINGS:
                        raise TooMuchError(f"Expected at most {MAX_SETTINGS} settings.")
                    for settings in many:
                        self._add_settings(settings, found)
        return found

    def _add_settings(self, settings: Json, found: dict[str, list[Json]]) -> None:
        for name, value in settings.items() if isinstance(settings, dict) else ():
            if (folded := fold(name)) in self._counted:
                found.setdefault(folded, []).append(value)

    def _streams(self, members: dict[str, list[Json]]) -> bool:
        said = [value for value in members.get("stream", ()) if value is not None]
        if self._api.stream == "always" or (not said and self._api.stream == "unless"):
            return True
        return any(map(lax.flag, said))

    def _less(self, members: Members) -> None:
        bounded = False
        for name in self._api.settings:
            if not name:
                bounded |= self._lower(members)
                continue
            for actual in [each for each in members if fold(each) == name]:
                members[actual], found = self._lowered(members[actual])
                bounded |= found
        if not bounded and self._api.bound:
            self._put(members, self._api.bound.split("."))

    def _lowered(self, value: Raw) -> tuple[Raw, bool]:
        """Return settings that ask for less, and whether all of them bound the output."""
        found: list[bool] = []

        def change(settings: Members) -> None:
            found.append(self._lower(settings))

        return _each(value, change), bool(found) and all(found)

    def _put(self, members: Members, steps: Sequence[str]) -> None:
        """Put a limit where the server reads it, into each object there that has none."""
        name, *rest = steps
        if not rest:
            if not any(fold(each) in self._api.bounds for each in members):
                members[name] = Raw(b"%d" % OUTPUT)
            return

        def change(inside: Members) -> None:
            self._put(inside, rest)

        actual = next((each for each in members if fold(each) == fold(name)), name)
        members[actual] = _each(members.get(actual, Raw(b"{}")), change)

    def _lower(self, settings: Members) -> bool:
        bounded = False
        for actual in list(settings):
            name = fold(actual)
            if name in _LOGPROBS or name in _FLOOR:
                drop(settings, actual)
            elif name in self._api.counts:
                settings[actual] = Raw(b"1")
            elif name in self._api.bounds:
                limit = lax.number(JSON.decode(settings[actual]))
                if limit is None or not 0 < limit <= OUTPUT:
                    settings[actual] = Raw(b"%d" % OUTPUT)
                bounded = True
        return bounded


def _each(value: Raw, change: Callable[[Members], None]) -> Raw:
    """Change an object, or each object of an array; any other value becomes an object."""
    raw = bytes(value)
    if raw[:1] == b"[":
        try:
            parts = [rewrite(bytes(part), change) for part in _OBJECTS.decode(raw)]
        except (ValueError, RecursionError):
            return value
        return Raw(b"[" + b",".join(parts) + b"]")
    return Raw(rewrite(raw if raw[:1] == b"{" else b"{}", change))


def _values(settings: dict[str, list[Json]], names: Sequence[str]) -> list[Json]:
    if not settings:
        return []
    found = [value for name in names for value in settings.get(name, ())]
    return [each for value in found for each in (value if isinstance(value, list) else (value,))]


def _numbers(settings: dict[str, list[Json]], names: Sequence[str]) -> list[float]:
    found = [lax.number(value) for value in _values(settings, names)]
    return [value for value in found if value is not None]


def _choices(counts: list[float]) -> int:
    return int(min(max(1, *counts), MAX_CHOICES)) if counts else 1


def _bound(bounds: list[float]) -> int | None:
    """Return the largest limit; None without one, or where one of them is none (0 or below)."""
    if not bounds or min(bounds) <= 0:
        return None
    return max(1, int(min(max(bounds), MAX_OUTPUT)))


def _alternatives(values: list[Json]) -> int:
    """Return the alternatives with log-probabilities for each token; ``true`` is one of them."""
    found = [lax.number(value) for value in values if value is not False]
    counts = [MAX_LOGPROBS if value < 0 else value for value in found if value is not None]
    return int(min(max(1, *counts), MAX_LOGPROBS)) if counts else 0


def _length(prompt: Json) -> int:
    """Return how many prompts an array is: one if it is of token ids or numbers."""
    if not isinstance(prompt, list):
        return 1
    kinds = {*map(type, prompt)}
    if kinds <= _PROMPTS:
        return len(prompt) or 1
    return sum(map(_PROMPTS.__contains__, map(type, prompt))) or 1


def _objects(items: list[Json]) -> list[dict[str, Json]]:
    """Return each object in arrays."""
    arrays = [value for value in items if isinstance(value, list)]
    return [one for array in arrays for one in array if isinstance(one, dict)]


def _models(*holders: dict[str, list[Json]]) -> list[Json]:
    """Return what stands where servers look for a model, each once, the request's own first."""
    found = [value for holder in holders for n in NATIVE if n in holder for value in holder[n]]
    names = dict.fromkeys(value for value in found if isinstance(value, str))
    return [*names, *(value for value in found if isinstance(value, list))]
