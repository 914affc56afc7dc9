"""Where a request names its model: the path, the query and the body.

Azure and LiteLLM name it in the path (``/openai/deployments/NAME/``, ``/engines/NAME/``), Gemini
before a colon (``/models/NAME:generateContent``), LiteLLM also in the query (``?model=NAME``).
Which of several names a server follows depends on the server, so all of them count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import unquote_plus

import msgspec

from querybudget.adapters.base import MAX_MODELS, Target
from querybudget.adapters.lax import Json
from querybudget.adapters.readings import folded
from querybudget.adapters.request import Request
from querybudget.errors import BodyError

_ALIAS = re.compile(r"\A(?:https?://)?(?:registry\.ollama\.ai/)?library/|:latest\Z")
LONGEST_PATH = 200
"""Names in longer paths are not cached."""

_FALLBACKS = frozenset(
    {
        *("models", "fallbacks", "default_fallbacks", "context_window_fallbacks"),
        *("content_policy_fallbacks", "router_settings_override"),
    }
)
"""Members with models that are asked if the first fails, in OpenRouter and LiteLLM. A caller can
make it fail."""

_INSTEAD = frozenset(
    {"engine", "deployment_id", "model_id", "model_name", "lora_path", "adapter_id"}
)
"""Members that some servers take for the model, or for an adapter of its weights."""

NATIVE = tuple(dict.fromkeys(["model", *sorted(name.replace("_", "") for name in _INSTEAD)]))
"""`_INSTEAD` and ``model``, as folded names."""

_ELSEWHERE = _FALLBACKS | _INSTEAD
LONGEST_QUERY = 16 * 1024
"""Characters of a query in which a model is looked for; few servers take a longer one."""

_NAME = "model"
_ENCODED = 3 * len(_NAME)  # characters of the name with each of them written as `%6D`
_DEPLOYMENT = re.compile(r"/(?:deployments|engines)/([^/]+)", re.IGNORECASE)
_MODELS = re.compile("/models/", re.IGNORECASE)
_VERB = re.compile(r"[A-Za-z]+/?")


class Models(msgspec.Struct, frozen=True):
    """The models that a request names.

    Attributes:
        first: The name that servers follow first: the path's, else the query's, else the body's;
            empty if the request names none.
        others: Every other name, once each.
        copies: How many models answer the request: LiteLLM asks each of ``a,b``.
    """

    first: str = ""
    others: tuple[str, ...] = ()
    copies: int = 1


_NO_MODEL = Models()


def models_of(target: Target, named: Json, alternatives: Iterable[Json] = ()) -> Models:
    """Return the models that a request names.

    Args:
        target: Where it is sent.
        named: The body's ``model``: a name, names with commas between them, or an array of either.
        alternatives: Models that are asked if that one fails (``models``, ``fallbacks``).

    Raises:
        BodyError: It names more than `MAX_MODELS`, or its query is longer than `LONGEST_QUERY`.
    """
    elsewhere = _in_path(target.path)
    if target.query:
        elsewhere += _in_query(target.query)
    if not elsewhere and not alternatives:
        if named is None:
            return _NO_MODEL
        if isinstance(named, str) and "," not in named:
            return Models(named)
    asked = [[*_names(name)] for name in (*elsewhere, named)]
    rest = (name for value in alternatives for name in _names(value))
    names = tuple(dict.fromkeys([name for names in asked for name in names] + [*rest]))
    if len(names) > MAX_MODELS:
        raise BodyError(f"Expected at most {MAX_MODELS} models, found {len(names)}.")
    copies = min(max(1, *map(len, asked)), MAX_MODELS)
    return Models(names[0] if names else "", names[1:], copies)


def models_in(target: Target, request: Request) -> Models:
    """Return the models that a request in OpenAI's or Anthropic's dialect names.

    Raises:
        BodyError: It names more than `MAX_MODELS`.
    """
    found = request.named(_ELSEWHERE)
    if not found:
        return models_of(target, request.value("model"))
    values: list[Json] = [
        [*_fallbacks(request.value(name))] if name in _FALLBACKS else request.value(name)
        for name in found
    ]
    return models_of(target, request.value("model"), values)


def one_spelling(name: str) -> str:
    """Return a model's name, or a pattern, as servers compare it that ignore case.

    Ollama also takes ``library/tern:latest`` for ``tern``.
    """
    return _ALIAS.sub("", name.strip().lower())


def _fallbacks(value: Json) -> Iterator[str]:
    """Yield the models in ``["b"]``, ``[{"model": "b"}]``, ``[{"a": ["b"]}]``, and settings."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            pending += reversed(value)
        elif isinstance(value, dict):
            named = _FALLBACKS & value.keys()
            if "model" in value:
                pending.append(value["model"])
            elif named:
                pending += [value[name] for name in sorted(named)]
            else:
                pending += [models for models in value.values() if isinstance(models, list)]


def _names(value: Json) -> Iterator[str]:
    pending = [value]
    while pending:  # a body may nest deeper than functions may
        value = pending.pop()
        if isinstance(value, str):
            yield from filter(None, map(str.strip, value.split(","))) if "," in value else (value,)
        elif isinstance(value, list):
            named = [each.get("model") if isinstance(each, dict) else each for each in value]
            pending += reversed(named)


def _in_path(path: str) -> tuple[str, ...]:
    return _short_path(path) if len(path) <= LONGEST_PATH else _find_in_path(path)


def _find_in_path(path: str) -> tuple[str, ...]:
    names = [match[1] for match in _DEPLOYMENT.finditer(path)]
    before, _, verb = path.rpartition(":")
    resource = before.rpartition(":")[2]
    models = _MODELS.search(resource)
    if models and _VERB.fullmatch(verb) and (name := resource[models.end() :]):
        names.append(name)
    return tuple(names)


_short_path = lru_cache(1024)(_find_in_path)


def _in_query(query: str) -> tuple[str, ...]:
    if len(query) > LONGEST_QUERY:
        raise BodyError(f"Expected a query of at most {LONGEST_QUERY} characters.")
    pairs = [pair.partition("=") for pair in query.split("&")]
    return tuple(unquote_plus(value) for name, _, value in pairs if _is_model(name))


def _is_model(name: str) -> bool:
    return len(_NAME) <= len(name) <= _ENCODED and folded(unquote_plus(name)) == _NAME
