"""Each defence that the threat model names has the test that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = re.findall(
    r"`((?:[a-z_]+/)*test_[a-z0-9_]+\.py)(?:::(test_[a-z0-9_]+))?`",
    (ROOT / "docs/threat-model.md").read_text(),
)


def test_the_threat_model_names_tests() -> None:
    assert len(TESTS) > 20


@pytest.mark.parametrize(("file", "name"), TESTS, ids=[name or file for file, name in TESTS])
def test_a_defence_has_the_test_that_it_names(file: str, name: str) -> None:
    text = (ROOT / "tests" / file).read_text()
    assert not name or f"def {name}(" in text
