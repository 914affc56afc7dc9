"""A model route of no known dialect, read by the JSON pointers that its policy gives."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from querybudget.adapters.base import Call, Dialect, Meter, Usage
from querybudget.adapters.bodies import asks_of, choices_of, output_bound, read_body
from querybudget.adapters.degrade import OUTPUT
from querybudget.adapters.metering import answer_meter
from querybudget.adapters.pointer import Json, Pointer
from querybudget.adapters.request import utf8_size
from querybudget.adapters.tally import AnswerTotals, tokens
from querybudget.errors import BodyError, SetupError
from querybudget.policy.model import GenericRoute

__all__ = ["Generic"]

_JSON: msgspec.json.Decoder[Json] = msgspec.json.Decoder()
_BOM = b"\xef\xbb\xbf"


class Generic:
    """Reads requests and answers by pointers.

    A prompt may be text, an array of texts (that many items), token ids (counted exactly), an array
    of those, or any other value, of which all texts within count. A route that points to no bound,
    no stream flag, no number of answers, no output used and no text generates nothing; one that
    points to neither the output used nor the text has answers that count as text of their own size.

    Args:
        route: Where everything stands.

    Raises:
        SetupError: One of its pointers is none.
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
        self._generates = any(
            (self._max_output, self._stream, self._choices, self._output_usage, self._text)
        )

    def parse(self, _path: str, body: bytes, /) -> Call:
        """Read what a request asks; raises `BodyError`."""
        request = read_body(_JSON, body, f"a JSON body for {self._route.operation}")
        prompts = [prompt.find(request) for prompt in self._prompts]
        texts = [text for prompt in prompts for text in _texts(prompt)]
        model = _find(self._model, request)
        return Call(
            dialect=Dialect.PROBLEM,
            operation=self._route.operation,
            model=model if isinstance(model, str) else "",
            stream=_find(self._stream, request) in (True, "true"),
            items=max(1, *map(_items, prompts)) if prompts else 1,
            choices=choices_of(self._number(self._choices, self._route.choices, request)),
            max_output=output_bound(
                self._number(self._max_output, self._route.max_output, request)
            ),
            input_bytes=sum(map(utf8_size, texts)),
            input_tokens=sum(map(_token_ids, prompts)),
            ask=texts[0] if len(texts) == 1 else "\n".join(texts),
            asks=asks_of([text for prompt in prompts for text in _array(prompt)]),
            generates=self._generates,
        )

    def meter(self, call: Call, content_type: str, /) -> Meter:
        """A meter for the answer."""
        return answer_meter(call, content_type, self._read_event, self._read_answer)

    def degrade(self, body: bytes, /) -> bytes:
        """The same asked with less, as far as the route says where: see `Adapter.degrade`."""
        try:
            request = _JSON.decode(body.removeprefix(_BOM))
        except (ValueError, RecursionError):
            return body
        choices, most = self._choices, self._max_output
        changed = False
        if choices is not None and choices.find(request) not in (None, 1):
            changed = choices.put(request, 1)
        if most is not None:
            asked = _amount(most.find(request))
            if asked is None or not 0 < asked <= OUTPUT:
                changed = most.put(request, OUTPUT) or changed
        return msgspec.json.encode(request) if changed else body

    def _number(self, pointer: Pointer | None, where: str, request: Json) -> float | None:
        value = _find(pointer, request)
        number = _amount(value)
        if number is not None or value is None:
            return number
        raise BodyError(f"Expected a number, found {type(value).__name__} - at `{where}`.")

    def _read_event(self, data: bytes, totals: AnswerTotals) -> None:
        if data == b"[DONE]":
            totals.complete = True
        else:
            self._read_answer(data, totals)

    def _read_answer(self, data: bytes, totals: AnswerTotals) -> None:
        answer = _JSON.decode(data)
        if text := self._size_of_text(answer, data):
            totals.output_bytes += text
            totals.complete = False  # what was reported before does not hold this text
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
        """Bytes of generated text; all of the answer's where the route does not say which."""
        if self._text is not None:
            return sum(map(utf8_size, _texts(self._text.find(answer))))
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


def _texts(value: Json) -> Iterator[str]:
    """Every text within a value, in order. Names of members are not texts."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            pending.extend(reversed(value))
        elif isinstance(value, dict):
            pending.extend(reversed(list(value.values())))


def _items(prompt: Json) -> int:
    """As many as an array has, of texts or of token ids; anything else is one prompt."""
    if isinstance(prompt, list) and {*map(type, prompt)} in ({str}, {list}, {str, list}):
        return len(prompt)
    return 1


def _array(prompt: Json) -> list[str]:
    """The texts of an array of prompts; a conversation is one prompt, and so is any text."""
    if not isinstance(prompt, list) or _items(prompt) != len(prompt):
        return []
    return [text for text in prompt if isinstance(text, str)]


def _token_ids(prompt: Json) -> int:
    if not isinstance(prompt, list):
        return 0
    ids = sum(1 for item in prompt if isinstance(item, int))
    return ids + sum(_token_ids(item) for item in prompt if isinstance(item, list))
