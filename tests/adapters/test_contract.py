"""Every known dialect keeps the adapter contract, on recordings in every variant."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from querybudget.adapters import adapter_for
from querybudget.adapters.base import Adapter
from querybudget.testing.contracts.adapter import AdapterContract, Recording, load_recordings

RECORDINGS = load_recordings(Path(__file__).parent / "recordings")


class TestKnownDialects(AdapterContract):
    recordings: ClassVar[tuple[Recording, ...]] = RECORDINGS

    def adapter(self, path: str) -> Adapter:
        found = adapter_for(path, "POST", ())
        assert found is not None, path
        return found

    @pytest.mark.slow
    def test_where_an_answer_is_cut_changes_nothing(self) -> None:
        super().test_where_an_answer_is_cut_changes_nothing()


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_a_refusal_is_answered_in_the_dialect_of_the_request(recording: Recording) -> None:
    adapter = adapter_for(recording.path, "POST", ())
    assert adapter is not None
    assert adapter.dialect == recording.call.dialect
