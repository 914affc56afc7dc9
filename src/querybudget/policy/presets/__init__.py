"""Policies that ship: to load by name as `preset:NAME`, or to begin one's own from.

Each is a file beside this one. They need no environment; what they take from it has a default.
"""

from __future__ import annotations

from importlib.resources import files

__all__ = ["names", "text"]

_SUFFIX = ".yaml"


def names() -> list[str]:
    """The names of all presets, sorted."""
    entries = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in entries if name.endswith(_SUFFIX))


def text(name: str) -> str:
    """The YAML of one.

    Raises:
        KeyError: There is none of that name.
    """
    if name not in names():
        raise KeyError(name)
    return files(__name__).joinpath(name + _SUFFIX).read_text("utf-8")
