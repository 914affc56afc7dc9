"""Whether what a policy says is done, or only reported."""

from __future__ import annotations

import enum


class Mode(enum.StrEnum):
    """Whether a budget refuses calls, or only reports what it would have refused."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
