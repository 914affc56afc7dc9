"""Templates to pages. Everything that is not written in a template is escaped."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from querybudget.console import phrases
from querybudget.console.survey import fullest
from querybudget.errors import SetupError
from querybudget.text import duration, moment, span

if TYPE_CHECKING:
    import jinja2


@lru_cache(maxsize=1)
def templates() -> jinja2.Environment:
    """Return the templates of the console's pages.

    Raises:
        SetupError: jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: PLC0415 - an extra
    except ImportError:
        raise SetupError("the console needs jinja2: pip install 'querybudget[console]'") from None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("querybudget.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    known: Any = environment
    filters: dict[str, Callable[..., object]] = known.filters
    filters.update(
        ago=phrases.ago,
        clock_time=phrases.clock_time,
        duration=duration,
        evidence_words=phrases.evidence_words,
        factor=phrases.factor,
        figure=phrases.figure,
        moment=moment,
        override_words=phrases.override_words,
        part=_part,
        percent=phrases.percent,
        reason_words=phrases.reason_words,
        pool_words=phrases.pool_words,
        touched_words=phrases.touched_words,
        score_words=phrases.score_words,
        short=phrases.short,
        span=span,
        tone=phrases.tone,
        unit_words=phrases.unit_words,
        verdict_words=phrases.verdict_words,
        fullest=fullest,
    )
    return environment


def _part(text: str) -> str:
    """A text as one part of an address."""
    return quote(text, safe="")
