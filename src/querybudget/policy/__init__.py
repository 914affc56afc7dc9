"""The policy: what an operator writes, and what it means.

From the file to a `Policy`, one module for each step:

    yaml_nodes   YAML text or a mapping to nodes that know their line; replaces `${NAME}`
    diagnostics  those nodes, and the problems found in them
    file         the shape of the file: one struct for each mapping, one field for each key
    fields       the kinds of values in it
    decode       nodes to those structs, noting every problem
    build_*      those structs to the types of `model`: identity, budgets, embedding, store
    load         all of it, in order
    model        the policy, loaded and ready
    presets      policies that ship, each a YAML file
    schema       the shape of the file as JSON Schema, for editors
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from querybudget.policy.model import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

__all__ = ["Policy", "load_policy"]


def load_policy(
    source: str | PathLike[str] | Mapping[str, object],
    *,
    environ: Mapping[str, str] | None = None,
) -> Policy:
    """Load a policy. `Policy.load` is this function.

    Args:
        source: Path of a YAML file, a mapping of what such a file holds, or ``preset:`` and the
            name of a policy that ships, as in ``preset:distillation``.
        environ: Variables that ``${NAME}`` stands for; the process's environment by default.

    Raises:
        PolicyError: The policy cannot be read or used. The error lists every problem, in the order
            of the file.
    """
    # Imported here: code that only uses policies needs neither YAML nor time zones.
    from querybudget.policy.load import load  # noqa: PLC0415

    return load(source, environ=environ)


Policy.load = staticmethod(load_policy)
