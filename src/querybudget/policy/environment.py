"""Environment variables in a policy: `${NAME}`, `${NAME:-default}`, and `$${` for a plain `${`.

They are filled in after the policy is parsed, so that no value can add a key or a list. Pure: the
environment is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from querybudget.text import nearest

__all__ = ["UnsetError", "expand"]

_VARIABLE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")


class UnsetError(ValueError):
    """A variable is not set and has no default, or is not written as one."""


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Fill in the variables of `text`, once: what a variable holds is taken as it is.

    Raises:
        UnsetError: A variable without default is not set, or `${` is followed by no name.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        if match[0] == "$${":
            return "${"
        if name is None:
            raise UnsetError("expected `${NAME}` or `${NAME:-default}` (`$${` for a plain `${`)")
        if default is not None:
            return environ.get(name) or str(default)
        if name not in environ:
            near = nearest(name, environ)
            raise UnsetError(
                f"expected the environment variable `{name}` to be set, it is not{near}"
            )
        return environ[name]

    return _VARIABLE.sub(value, text)
