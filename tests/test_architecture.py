"""The architecture page shows layers and imports as they are, and the imports have no cycle."""

from __future__ import annotations

from tools import architecture


def test_no_two_modules_import_each_other_directly_or_through_others() -> None:
    assert architecture.cycles(architecture.module_graph()) == []


def test_no_two_packages_import_each_other_directly_or_through_others() -> None:
    assert architecture.cycles(architecture.package_graph()) == []


def test_the_layers_name_every_package_and_top_level_module() -> None:
    named = {name for row in architecture.layers() for name in row}
    present = {
        module.partition(".")[2]
        for module in architecture.module_graph()
        if module.count(".") == 1 and not module.endswith("__main__")
    }
    assert named == present


def test_the_page_has_the_layers_of_pyproject_and_what_each_package_says_of_itself() -> None:
    # Where this fails: python -m tools.architecture
    assert architecture.PAGE.read_text() == architecture.page()


def test_the_picture_of_the_imports_is_the_present_one() -> None:
    # Where this fails: python -m tools.architecture
    assert architecture.PICTURE.read_text() == architecture.picture()


def test_cycles_are_found() -> None:
    graph = {
        "a": frozenset({"b"}),
        "b": frozenset({"c", "d"}),
        "c": frozenset({"a"}),
        "d": frozenset[str](),
    }
    assert architecture.cycles(graph) == [["a", "b", "c"]]
