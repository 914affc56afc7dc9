from __future__ import annotations

import sys

import pytest

from querybudget.errors import SetupError
from querybudget.testing import contracts

MACHINE = "querybudget.testing.contracts.machine"


@pytest.mark.parametrize("name", contracts.__all__)
def test_a_contract_is_loaded_by_its_name(name: str) -> None:
    assert getattr(contracts, name).__name__ == name


def test_a_machine_without_hypothesis_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, MACHINE, raising=False)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(SetupError, match=r"StoreMachine needs hypothesis, .*pip install"):
        _ = contracts.StoreMachine
    assert contracts.StoreContract.__name__ == "StoreContract"


def test_an_unknown_contract_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'StoreNonsense'"):
        _ = contracts.StoreNonsense
