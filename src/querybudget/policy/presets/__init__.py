"""Policies that ship: load one as `preset:NAME`, or start your own from it.

Each is a file beside this one. Their environment variables all have defaults.
"""

from __future__ import annotations

from importlib.resources import files

__all__ = ["names", "preset_yaml"]

_SUFFIX = ".yaml"


def names() -> list[str]:
    """Return the names of all presets, sorted."""
    entries = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in entries if name.endswith(_SUFFIX))


def preset_yaml(name: str) -> str:
    """Return the YAML of a preset.

    Raises:
        KeyError: There is no preset of that name.
    """
    if name not in names():
        raise KeyError(name)
    return files(__name__).joinpath(name + _SUFFIX).read_text("utf-8")
