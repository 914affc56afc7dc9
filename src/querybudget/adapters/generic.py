"""A model route of no known dialect, read through the JSON pointers in the policy (RFC 6901)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from querybudget.adapters import lax
from querybudget.adapters.base import Call, Dialect, Meter, Target, Usage
from querybudget.adapters.combined import copied, most_of
from querybudget.adapters.content import measure_input, texts_in
from querybudget.adapters.degrade import OUTPUT
from querybudget.adapters.lax import Json
from querybudget.adapters.metering import AnswerTotals, answer_meter, tokens
from querybudget.adapters.model_names import models_of
from querybudget.adapters.readings import TooMuchError, folded, misspelt, readings
from querybudget.adapters.request import (
    BOM,
    choices_of,
    output_bound,
    read_body,
    utf8_size,
)
from querybudget.adapters.segments import texts_of
from querybudget.errors import SetupError
from querybudget.policy.model import GenericRoute

_JSON: msgspec.json.Decoder[Json] = msgspec.json.Decoder()
_BAD_ESCAPE = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")  # longer ones are beyond the end of any body


class Pointer:
    """The place of a value in a JSON document.

    Args:
        text: The pointer, such as ``/usage/input_tokens``: a slash before each step; ``~1`` stands
            for a slash and ``~0`` for a tilde within a step. The empty pointer is the document.

    Attributes:
        steps: The names of members, and places in arrays, that lead to the value.

    Raises:
        ValueError: The text is not a pointer.
    """

    __slots__ = ("steps",)

    def __init__(self, text: str) -> None:
        if text and not text.startswith("/"):
            raise ValueError(f"Expected a JSON pointer, found {text!r}: begin it with a slash.")
        if _BAD_ESCAPE.search(text):
            raise ValueError(f"Expected ~0 or ~1 after no other tilde in the pointer {text!r}.")
        self.steps = tuple(
            step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:]
        )

    def find(self, document: Json) -> Json:
        """Return the value at the pointer; None if there is none or it is null."""
        return _follow(document, self.steps)

    def holders(self, document: Json) -> Iterator[dict[str, Json]]:
        """Yield each object on the way to the value."""
        for count in range(len(self.steps)):
            value = _follow(document, self.steps[:count])
            if isinstance(value, dict):
                yield value

    def put(self, document: Json, value: Json) -> bool:
        """Set the value at the pointer.

        Returns:
            True if it was set: the place is a member of an object, present or not, or an existing
            element of an array. The whole document cannot be set.
        """
        if not self.steps:
            return False
        last = self.steps[-1]
        holder = _follow(document, self.steps[:-1])
        if isinstance(holder, dict):
            holder[last] = value
        elif isinstance(holder, list) and _INDEX.fullmatch(last) and int(last) < len(holder):
            holder[int(last)] = value
        else:
            return False
        return True


def _follow(document: Json, steps: tuple[str, ...]) -> Json:
    value = document
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


class Generic:
    """Reads requests and answers through pointers.

    A prompt may be text, an array of texts (one item each), token ids (counted exactly), an array
    of those, or any other value, of which every text within counts. A route without pointers to an
    output limit, stream flag, number of answers, output usage and text generates nothing. If a
    route has no pointers to the output usage and the text, its answers count as text of their own
    size.

    Raises:
        SetupError: One of its pointers is malformed.
    """

    dialect: Dialect = Dialect.PROBLEM

    def __init__(self, route: GenericRoute) -> None:
        self._route = route
        self._model = _pointer(route.model)
        self._prompts = tuple(filter(None, map(_pointer, route.prompt)))
        self._max_output = _pointer(route.max_output)
        self._stream = _pointer(route.stream)
        self._choices = _pointer(route.choices)
        self._input_usage = _pointer(route.input_usage)
        self._output_usage = _pointer(route.output_usage)
        self._text = _pointer(route.text)
        asked = (self._model, *self._prompts, self._max_output, self._stream, self._choices)
        self._pointers = tuple(filter(None, asked))
        steps = {step for pointer in self._pointers for step in pointer.steps}
        self._names = {folded(step): step for step in sorted(steps)}
        self._quoted = tuple(map(msgspec.json.encode, sorted(steps)))
        self._generates = any(
            (self._max_output, self._stream, self._choices, self._output_usage, self._text)
        )

    def parse(self, target: Target, body: bytes, /) -> Call:
        request = read_body(_JSON, body, f"a JSON body for {self._route.operation}")
        if not self._differs(request, body):
            return self._call(target, request)
        # The members that matter are the route's own.
        documents = map(_JSON.decode, readings(body, self._names))
        calls = [self._call(target, document) for document in documents]
        if not calls:
            raise TooMuchError("Expected a body that servers read alike.")
        return most_of(calls)

    def _call(self, target: Target, request: Json) -> Call:
        prompts = [prompt.find(request) for prompt in self._prompts]
        texts = [text for prompt in prompts for text in texts_in(prompt)]
        sizes = [measure_input(text) for text in texts]
        models = models_of(target, _find(self._model, request))
        stream = _find(self._stream, request)
        call = Call(
            dialect=self.dialect,
            operation=self._route.operation,
            model=models.first,
            other_models=models.others,
            stream=lax.flag(stream),
            ambiguous=lax.ambiguous(stream),
            items=max(1, *map(_items, prompts)) if prompts else 1,
            choices=choices_of(lax.number(_find(self._choices, request))),
            max_output=output_bound(lax.number(_find(self._max_output, request))),
            input_bytes=sum(size for size, _ in sizes),
            input_tokens=sum(map(_token_ids, prompts)),
            images=sum(images for _, images in sizes),
            generates=self._generates,
        )
        if target.texts:
            call.segments, call.opaque = texts_of(request, prompts)
        return copied(call, models.copies)

    def _differs(self, request: Json, body: bytes) -> bool:
        """Return True if servers may not all find the same at the pointers."""
        twice = b"\\u00" in body or any(body.count(name) > 1 for name in self._quoted)
        return twice or any(
            misspelt(name, self._names)
            for pointer in self._pointers
            for holder in pointer.holders(request)
            for name in holder
        )

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, self._read_event, self._read_answer)

    def degrade(self, body: bytes, /) -> bytes:
        try:
            request = _JSON.decode(body.removeprefix(BOM))
        except (ValueError, RecursionError):
            return body
        choices, max_output = self._choices, self._max_output
        changed = False
        if choices is not None and choices.find(request) not in (None, 1):
            changed = choices.put(request, 1)
        if max_output is not None:
            limit = _amount(max_output.find(request))
            if limit is None or not 0 < limit <= OUTPUT:
                changed = max_output.put(request, OUTPUT) or changed
        return msgspec.json.encode(request) if changed else body

    def _read_event(self, data: bytes, totals: AnswerTotals) -> None:
        if data == b"[DONE]":
            totals.complete = True
        else:
            self._read_answer(data, totals)

    def _read_answer(self, data: bytes, totals: AnswerTotals) -> None:
        answer = _JSON.decode(data)
        if text := self._size_of_text(answer, data):
            totals.output_bytes += text
            totals.complete = False  # usage reported earlier does not include this text
        prompt = _amount(_find(self._input_usage, answer))
        output = _amount(_find(self._output_usage, answer))
        if prompt is not None or output is not None:
            before = totals.usage or Usage()
            totals.usage = Usage(
                input=before.input if prompt is None else tokens(prompt),
                output=before.output if output is None else tokens(output),
            )
        totals.complete = totals.complete or output is not None

    def _size_of_text(self, answer: Json, data: bytes) -> int:
        """Return the bytes of generated text; the whole answer's if no pointer says which."""
        if self._text is not None:
            return sum(map(utf8_size, texts_in(self._text.find(answer))))
        return len(data) if self._generates and self._output_usage is None else 0


def _pointer(text: str) -> Pointer | None:
    try:
        return Pointer(text) if text else None
    except ValueError as error:
        raise SetupError(str(error)) from None


def _find(pointer: Pointer | None, document: Json) -> Json:
    return pointer.find(document) if pointer is not None else None


def _amount(value: Json) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _items(prompt: Json) -> int:
    """Return the length of an array of texts or of token ids; any other value is one prompt."""
    if isinstance(prompt, list) and {*map(type, prompt)} in ({str}, {list}, {str, list}):
        return len(prompt)
    return 1


def _token_ids(prompt: Json) -> int:
    if not isinstance(prompt, list):
        return 0
    ids = sum(1 for item in prompt if isinstance(item, int))
    return ids + sum(_token_ids(item) for item in prompt if isinstance(item, list))
