"""Request bodies that cost more than they look, at any size."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Callable, Mapping, Sequence

from benchmarks.hostile.texts import UNITS, text

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
MESSAGES = "/v1/messages"
BATCHES = "/v1/messages/batches"
FILES = "/v1/files"
OLLAMA = "/api/chat"
GEMINI = "/v1beta/models/m:generateContent"
GENERATE = "/generate"
PREDICT = "/v1/models/m:predict"
RERANK = "/v1/rerank"
EDITS = "/v1/images/edits"

Body = tuple[str, bytes]
"""Path and body, not compressed."""

_MESSAGE = b'{"role":"user","content":"%s"}'
_PROMPT = 3_000
"""Characters of the longest prompt that is read to its end."""


def _filled(before: bytes, unit: bytes, after: bytes, size: int, separator: bytes = b",") -> bytes:
    """A unit repeated up to a size, between a beginning and an end."""
    room = size - len(before) - len(after)
    count = max(1, (room + len(separator)) // (len(unit) + len(separator)))
    return before + separator.join([unit] * count) + after


def _messages(content: bytes) -> Callable[[int], Body]:
    def make(size: int) -> Body:
        return CHAT, _filled(b'{"model":"m","messages":[', _MESSAGE % content, b"]}", size)

    return make


def _around(path: str, before: bytes, unit: bytes, after: bytes) -> Callable[[int], Body]:
    def make(size: int) -> Body:
        return path, _filled(before, unit, after, size)

    return make


def _run(path: str, before: bytes, unit: bytes, after: bytes) -> Callable[[int], Body]:
    def make(size: int) -> Body:
        return path, _filled(before, unit, after, size, b"")

    return make


def _many_members(size: int) -> Body:
    members = (b'"k%d":0,' % number for number in range(size // 12))
    return CHAT, b"{" + b"".join(members) + b'"messages":[' + _MESSAGE % b"hi" + b"]}"


def _distinct(path: str) -> Callable[[int], Body]:
    """A list of objects, of which no two have a member in common."""

    def make(size: int) -> Body:
        members = b",".join([b'{"k%d":"a"}' % number for number in range(size // 18)])
        return path, b'{"model":"m","messages":[' + members + b"]}"

    return make


def _lines(line: bytes) -> Callable[[int], Body]:
    def make(size: int) -> Body:
        return FILES, _filled(b"", line, b"", size, b"\n")

    return make


def _nested(size: int) -> Body:
    depth = size // 2 - 60
    return CHAT, b'{"messages":[],"x":' + b"[" * depth + b"]" * depth + b"}"


def _utf_16(size: int) -> Body:
    body = {"model": "m", "messages": [{"role": "user", "content": "a" * (size // 2 - 80)}]}
    return CHAT, json.dumps(body).encode("utf-16")


def _not_json_after_all(size: int) -> Body:
    path, body = _messages(b"hi")(size)
    return path, body[:-1] + b"!"


def _prompts(name: str) -> Callable[[int], Body]:
    """Sixty-four prompts of one text, no two of them alike, and none that was sent before."""

    def make(_size: int) -> Body:
        prompts = [f"{next(_NUMBERS)} {text(name, _PROMPT - 10)}" for _ in range(64)]
        # Lone surrogates can only be sent as escapes.
        body = json.dumps({"model": "m", "prompt": prompts}, ensure_ascii="surrogates" in name)
        return COMPLETIONS, body.encode()

    return make


def _prose(size: int, words: Sequence[str]) -> str:
    """Text of words in an order that was never sent before."""
    drawn = random.Random(next(_NUMBERS)).choices(words, k=size // 5)
    return " ".join(drawn)[:size]


def _unseen(words: Sequence[str]) -> Callable[[int], Body]:
    """One text of words in an order that was never sent before."""

    def make(size: int) -> Body:
        body = {"model": "m", "messages": [{"role": "user", "content": _prose(size, words)}]}
        return CHAT, json.dumps(body).encode()

    return make


def _unseen_turns(size: int) -> Body:
    prose = _prose(size, _ENGLISH)
    turns = [{"role": "user", "content": prose[at : at + 80]} for at in range(0, size // 2, 80)]
    return CHAT, json.dumps({"model": "m", "messages": turns}, separators=(",", ":")).encode()


def _form(part: bytes, parts: int) -> Callable[[int], Body]:
    def make(size: int) -> Body:
        head = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'
        filled = part * (size // parts // len(part))
        return EDITS, (head + filled + b"\r\n") * parts + b"--x--\r\n"

    return make


def content_type(path: str, body: bytes) -> bytes:
    """Return the content type with which a body is sent."""
    if path != EDITS:
        return b"application/json"
    encoded = b"application/x-www-form-urlencoded"
    return b"multipart/form-data; boundary=x" if body.startswith(b"--") else encoded


_NUMBERS = itertools.count()
_ENGLISH = (
    *("the", "of", "bread", "water", "kettle", "why", "does", "boil", "mountain", "river", "and"),
    *("explain", "history", "between", "winter", "music", "engine", "light", "garden", "people"),
)
_MADE_UP = tuple(
    "".join(letters)
    for letters in itertools.islice(itertools.product("qzjxkv", "wpybzk", "qxvjhw"), 200)
)
_ONE = b'{"model":"m","messages":[{"role":"user","content":'
_SCHEMA = (
    b'{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}'
)

BODIES: Mapping[str, Callable[[int], Body]] = {
    "one long text": _run(CHAT, _ONE + b'"', b"a", b'"}]}'),
    "text of escapes": _run(CHAT, _ONE + b'"', b'\\n\\"\\\\', b'"}]}'),
    "text of Unicode escapes": _run(CHAT, _ONE + b'"', b"\\u00e9\\ud83d\\ude00", b'"}]}'),
    "text that is not ASCII": _run(CHAT, _ONE + b'"', "é漢😀".encode(), b'"}]}'),
    "white space": _run(CHAT, b'{"messages":', b" \n", b'[{"role":"user","content":"hi"}]}'),
    "a picture in base64": _run(
        CHAT,
        _ONE + b'[{"type":"image_url","image_url":{"url":"data:image/png;base64,',
        b"QUJD",
        b'"}}]}]}',
    ),
    "empty messages": _messages(b""),
    "small messages": _messages(b"hi"),
    "messages that are not ASCII": _messages("é".encode()),
    "messages without members": _around(CHAT, b'{"messages":[', b"{}", b"]}"),
    "messages of the assistant": _around(
        CHAT, b'{"messages":[', b'{"role":"assistant","content":""}', b"]}"
    ),
    "system messages": _around(CHAT, b'{"messages":[', b'{"role":"system","content":"x"}', b"]}"),
    "tiny parts": _around(CHAT, _ONE + b"[", b'{"type":"text","text":"a"}', b"]}]}"),
    "parts without members": _around(CHAT, _ONE + b"[", b"{}", b"]}]}"),
    "parts that are texts": _around(CHAT, _ONE + b"[", b'""', b"]}]}"),
    "documents": _around(
        MESSAGES,
        b'{"messages":[{"role":"user","content":[',
        b'{"type":"document","source":{"type":"text","data":""}}',
        b"]}]}",
    ),
    "parts within parts": _around(
        MESSAGES,
        b'{"messages":[{"role":"user","content":[',
        b'{"type":"tool_result","content":[{"type":"text","text":""}]}',
        b"]}]}",
    ),
    "tool schemas": _around(CHAT, b'{"messages":[],"tools":[', _SCHEMA, b"]}"),
    "tool calls": _around(
        CHAT, b'{"messages":[', b'{"role":"assistant","tool_calls":[{"id":"1"}]}', b"]}"
    ),
    "many members": _many_members,
    "one member many times": _around(CHAT, b"{", b'"n":1', b',"messages":[]}'),
    "nested arrays": _nested,
    "numbers": _around(CHAT, b'{"messages":[],"x":[', b"1", b"]}"),
    "floats": _around(CHAT, b'{"messages":[],"x":[', b"1.7976931348623157e308", b"]}"),
    "one long number": _run(CHAT, b'{"messages":[],"x":', b"9", b"}"),
    "token ids": _around(COMPLETIONS, b'{"model":"m","prompt":[', b"1", b"]}"),
    "arrays of token ids": _around(COMPLETIONS, b'{"model":"m","prompt":[', b"[1]", b"]}"),
    "empty prompts": _around(EMBEDDINGS, b'{"model":"m","input":[', b'""', b"]}"),
    "small prompts": _around(EMBEDDINGS, b'{"model":"m","input":[', b'"hi"', b"]}"),
    "small items": _around(RESPONSES, b'{"input":[', b'{"role":"user","content":"a"}', b"]}"),
    "items without members": _around(RESPONSES, b'{"input":[', b"{}", b"]}"),
    "tool outputs": _around(
        RESPONSES, b'{"input":[', b'{"type":"function_call_output","output":"x"}', b"]}"
    ),
    "tool outputs of parts": _around(
        RESPONSES, b'{"input":[', b'{"output":[{"type":"input_text","text":""}]}', b"]}"
    ),
    "names to include": _around(RESPONSES, b'{"input":"hi","include":[', b'""', b"]}"),
    "UTF-16": _utf_16,
    "a lone surrogate at the end": _run(CHAT, _ONE + b'"', b"a", b'\\ud800"}]}'),
    "messages that are not JSON": _not_json_after_all,
    "a number where a text is": _around(
        CHAT, b'{"messages":[', b'{"role":"user","content":[{"text":1}]}', b"]}"
    ),
    "a misspelt member": _around(CHAT, b'{"Stream":true,"messages":[', _MESSAGE % b"hi", b"]}"),
    "a member twice": _around(CHAT, b'{"stream":true,"stream":1,"messages":[', _MESSAGE, b"]}"),
    "misspelt members": _around(CHAT, b'{"messages":[', b'{"Role":"user"}', b"]}"),
    "a misspelt member at the end": _around(
        CHAT, b'{"messages":[', _MESSAGE % b"hi", b',{"Role":"user"}]}'
    ),
    "escaped names": _around(CHAT, b'{"\\u006dodel":"m","messages":[', _MESSAGE % b"hi", b"]}"),
    "members of messages": _around(CHAT, b'{"messages":[', b'{"a":1,"b":2,"c":3}', b"]}"),
    "commas without spaces in text": _run(CHAT, _ONE + b'"', b"a,", b'"}]}'),
    "Ollama: small messages": _around(OLLAMA, b'{"messages":[', _MESSAGE % b"hi", b"]}"),
    "Ollama: empty messages": _around(OLLAMA, b'{"messages":[', b"{}", b"]}"),
    "Ollama: pictures": _around(OLLAMA, b'{"messages":[', b'{"images":["a"]}', b"]}"),
    "Ollama: tool calls": _around(OLLAMA, b'{"messages":[', b'{"tool_calls":[{}]}', b"]}"),
    "Ollama: distinct members": _distinct(OLLAMA),
    "Ollama: spaces after quotes": _around(OLLAMA, b'{"messages":[', b'"" ', b"]}"),
    "Ollama: colons after quotes": _run(OLLAMA, b'{"a":"', b'\\":', b'"}'),
    "Ollama: many members": lambda size: (OLLAMA, _many_members(size)[1]),
    "Ollama: one long text": _run(OLLAMA, b'{"messages":[{"content":"', b"a", b'"}]}'),
    "Ollama: texts": _around(OLLAMA, b'{"messages":[', b'"a"', b"]}"),
    "Ollama: a member twice": _around(
        OLLAMA, b'{"stream":true,"stream":1,"messages":[', _MESSAGE % b"hi", b"]}"
    ),
    "Gemini: tiny parts": _around(GEMINI, b'{"contents":[{"parts":[', b'{"text":"a"}', b"]}]}"),
    "Gemini: small contents": _around(
        GEMINI, b'{"contents":[', b'{"role":"user","parts":[{"text":"a"}]}', b"]}"
    ),
    "Gemini: data": _around(
        GEMINI,
        b'{"contents":[{"parts":[',
        b'{"inlineData":{"mimeType":"a","data":"a"}}',
        b"]}]}",
    ),
    "Gemini: settings": _around(GEMINI, b'{"generationConfig":[', b'{"maxOutputTokens":9}', b"]}"),
    "SGLang: settings": _around(GENERATE, b'{"text":"a","sampling_params":[', b'{"n":2}', b"]}"),
    "SGLang: empty settings": _around(GENERATE, b'{"text":"a","sampling_params":[', b"{}", b"]}"),
    "SGLang: texts": _around(GENERATE, b'{"text":[', b'"a"', b"]}"),
    "SGLang: token ids": _around(GENERATE, b'{"input_ids":[', b"[1]", b"]}"),
    "SGLang: embeddings": _around(GENERATE, b'{"input_embeds":[', b"[0.5]", b"]}"),
    "generate: prompts": _around(GENERATE, b'{"prompt":[', b'"a"', b"]}"),
    "generate: numbers in lists": _around(GENERATE, b'{"n":[', b"1", b"]}"),
    "predict: instances": _around(PREDICT, b'{"instances":[', b'{"prompt":"a"}', b"]}"),
    "predict: messages": _around(PREDICT, b'{"messages":[', _MESSAGE % b"hi", b"]}"),
    "predict: tiny parts": _around(PREDICT, b'{"messages":[{"content":[', b'{"text":"a"}', b"]}]}"),
    "predict: empty texts": _around(PREDICT, b'{"inputs":[', b'""', b"]}"),
    "documents to rank": _around(RERANK, b'{"query":"a","documents":[', b'"a"', b"]}"),
    "documents of members": _around(RERANK, b'{"query":"a","documents":[', b'{"text":"a"}', b"]}"),
    "empty documents": _around(RERANK, b'{"query":"a","documents":[', b'""', b"]}"),
    "documents that are lists": _around(RERANK, b'{"query":"a","documents":[', b'["a"]', b"]}"),
    "a batch of messages": _around(BATCHES, b'{"requests":[', b'{"params":{"messages":[]}}', b"]}"),
    "a batch of nothing": _around(BATCHES, b'{"requests":[', b"{}", b"]}"),
    "a batch of odd requests": _around(
        BATCHES, b'{"requests":[', b'{"params":{"messages":[],"Model":1}}', b"]}"
    ),
    "a file of requests": _lines(b'{"url":"/v1/embeddings","body":{"input":"a"}}'),
    "a file of odd requests": _lines(b'{"url":"/v1/embeddings","body":{"Input":"a"}}'),
    "a file of other requests": _lines(b'{"url":"/x","body":{"input":"a"}}'),
    "a file of empty bodies": _lines(b'{"body":{}}'),
    "a file of other lines": _lines(b"{}"),
    "a file of line breaks": _lines(b""),
    "English, never sent before": _unseen(_ENGLISH),
    "made-up words, never sent before": _unseen(_MADE_UP),
    "turns, never sent before": _unseen_turns,
    "a form of one field": _form(b"a ", 1),
    "a form of 900 fields": _form(b"a ", 900),
    "a form of boundaries": _form(b"\r\n--", 1),
    "a form, URL-encoded": _run(EDITS, b"prompt=", b"%61", b""),
    "models to fall back on": _around(
        CHAT, b'{"messages":[],"fallbacks":[', b'{"model":"m"}', b"]}"
    ),
    **{f"64 prompts of {name}": _prompts(name) for name in UNITS},
}
"""By what they are made of; each makes a path and a body of about so many bytes."""


def compressed(body: bytes) -> bytes:
    return gzip.compress(body, 6, mtime=0)


def names(wanted: Sequence[str]) -> list[str]:
    return [name for name in BODIES if not wanted or any(word in name for word in wanted)]
