"""What a report promises: one page that fetches nothing, pictures, and the facts of the log."""

from __future__ import annotations

import re
import shlex
import struct
from pathlib import Path

import pytest

from querybudget.cli.commands import examples_of
from querybudget.cli.main import command_parser, main
from querybudget.report.facts import LogFacts
from querybudget.report.log_report import add_up, log_page
from querybudget.report.page import Page, Tile, write
from querybudget.traffic.record import TrafficRecord
from tests.report.html_page import Html
from tests.report.sample_log import policy, write_log

SECTIONS = ["use", "map", "score", "windows", "sweepers", "disturbed"]


@pytest.fixture(params=["log_report", "store_report"])
def page(request: pytest.FixtureRequest) -> Html:
    found: Html = request.getfixturevalue(request.param)
    return found


def test_a_page_is_whole_and_fetches_nothing(page: Html) -> None:
    assert page.unclosed == []
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "form", "a"}
        for name in ("src", "srcset"):
            assert attributes.get(name, "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    style = page.source[page.source.index("<style>") : page.source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [a for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy["content"].startswith("default-src 'none'")
    assert "http" not in re.sub(r"data:[^\"]*", "", page.text)


def test_a_page_is_made_for_phones_dark_and_print(page: Html) -> None:
    assert ("meta", {"name": "color-scheme", "content": "light dark"}) in page.tags
    assert any(attributes.get("name") == "viewport" for _, attributes in page.tags)
    for rule in ("prefers-color-scheme: dark", "max-width: 640px", "@media print"):
        assert rule in page.source


def test_every_picture_says_what_it_shows_and_has_one_for_phones(page: Html) -> None:
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    narrow = [attributes for tag, attributes in page.tags if tag == "source"]
    assert len(pictures) == len(narrow) >= 3
    assert all(len(picture["alt"]) > 20 for picture in pictures)
    assert all("max-width: 640px" in one["media"] for one in narrow)


def test_pictures_are_files_too(reports: tuple[Path, Path]) -> None:
    names = {path.stem: path for path in reports[0].glob("*.png")}
    assert set(names) == {"use", "map", "score", "windows"}
    for path in names.values():
        header = path.read_bytes()[:24]
        assert header[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", header[16:24])
        assert width > 1_000
        assert height > 200


def test_the_report_of_a_log_has_all_its_parts(log_report: Html) -> None:
    assert list(log_report.sections) == SECTIONS
    assert "suspect" in log_report.sections["score"]


def test_the_sweeper_comes_first_with_reasons(log_report: Html) -> None:
    first, *others = log_report.tables["sweepers"]
    assert float(first[4]) > 0.6
    assert int(first[2]) == 120
    assert "abilities" in first[7]
    assert all(float(row[4]) < 0.5 for row in others)


def test_disturbed_callers_are_named_with_the_budgets_that_refused_them(log_report: Html) -> None:
    assert any("rpm" in row[6] and int(row[3]) for row in log_report.tables["disturbed"])


def test_lines_that_cannot_be_read_are_counted_and_shown_as_text(log_report: Html) -> None:
    assert "2 lines could not be read" in log_report.text
    assert "<script>" not in log_report.source


def test_no_prompt_stands_in_a_report(log_report: Html, reports: tuple[Path, Path]) -> None:
    assert "sourdough" in (reports[0] / "traffic.jsonl").read_text()
    assert "sourdough" not in log_report.source


def test_the_report_of_a_store_says_what_it_cannot_show(store_report: Html) -> None:
    assert list(store_report.sections) == ["use", "map", "score", "sweepers", "spenders"]
    assert "remembers no calls" in store_report.text
    assert "entered at least one" in store_report.sections["map"]
    rows = store_report.tables["sweepers"]
    assert float(rows[0][5]) > 0.6
    assert all(float(row[5]) > 0 for row in rows), "only the suspect are listed"
    spenders = store_report.tables["spenders"]
    assert any(row[3] == "tokens" for row in spenders)
    accounts = [row[0] for row in spenders]
    assert len(accounts) == len(set(accounts)), "each account has one row"


async def test_a_log_without_prompts_has_no_map_and_shows_strain(tmp_path: Path) -> None:
    path = tmp_path / "traffic.jsonl"
    await write_log(path, policy(), sweep=40, texts=False)
    sections = {section.name: section for section in _page(path).sections}
    assert sections["map"].draw is None
    assert "Prompts were not logged" in sections["map"].missing
    assert sections["score"].draw is not None
    assert "strain" in sections["score"].missing


def _page(path: Path) -> Page:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - log_page runs its own loop

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(log_page, path, policy()).result()


def test_an_empty_log_has_a_report(tmp_path: Path) -> None:
    path = tmp_path / "traffic.jsonl"
    path.touch()
    written = write(log_page(path, policy()), tmp_path / "out")
    page = Html(written[0])
    assert "no calls" in page.text
    assert written == [tmp_path / "out" / "report.html"]


def test_a_foreign_log_shows_requests_and_tokens(tmp_path: Path) -> None:
    facts = add_up(iter([TrafficRecord(at=1, identity="a"), TrafficRecord(at=2, identity="b")]))
    assert isinstance(facts, LogFacts)
    assert not facts.charged
    assert facts.units.amounts["requests"] == {0: 2}


def test_words_of_callers_are_escaped(tmp_path: Path) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    (path, *_) = write(Page(nasty, nasty, [Tile(nasty, nasty)], [nasty]), tmp_path)
    assert nasty not in path.read_text()


@pytest.mark.parametrize("source", ["memory://", "nowhere.jsonl"])
def test_the_command_says_what_is_wrong_with_a_source(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "policy.yaml"
    written.write_text("budgets: [{name: rpm, limit: 5 requests/minute}]")
    assert main(["report", source, "--policy", str(written), "--out", str(tmp_path)]) == 1
    assert source.partition("://")[0] in capsys.readouterr().err


@pytest.mark.parametrize("example", examples_of(command_parser().commands["report"]))
def test_an_example_of_help_writes_a_report_and_prints_where(
    example: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text("budgets: [{name: rpm, limit: 5 requests/minute}]")
    record = b'{"at":1700000000000000,"identity":"00ff","verdict":"wait","violated":["rpm"]}\n'
    for name in ("traffic", "monday", "tuesday"):
        Path(f"{name}.jsonl").write_bytes(record)
    assert main(shlex.split(example)[1:]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert paths[0] == Path("report/report.html")
    assert all(path.is_file() for path in paths)
    assert "No budget of the policy counts buckets" in Html(paths[0]).text
