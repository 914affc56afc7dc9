"""Paths: what may be read in several ways is never taken for something harmless."""

from __future__ import annotations

from urllib.parse import quote, unquote, urljoin, urlsplit

import httpx
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from querybudget.paths import is_plain, is_too_long, normal, readings

CHAT = "/v1/chat/completions"
SEGMENTS = [
    "v1",
    "chat",
    "completions",
    "health",
    "..",
    ".",
    "",
    "%2e%2e",
    "a;b=c",
    "x\\y",
    "é",
    "?",
    "#",
]
paths = st.lists(st.sampled_from(SEGMENTS), max_size=9).map(lambda parts: "/" + "/".join(parts))
texts = st.text(st.sampled_from("/.%2ef5c;?#\\ab\t:"), max_size=30).map(lambda text: "/" + text)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/health",
        "/health/",
        CHAT,
        "/v1beta/models/gemini-2.0:streamGenerateContent",
        "/a.b/..c",
    ],
)
def test_an_ordinary_path_has_one_reading(path: str) -> None:
    assert is_plain(path)
    assert readings(path) == (path,)
    assert normal(path) == (path.rstrip("/") or "/")


@pytest.mark.parametrize(
    "path",
    [
        "/health/../v1/chat/completions",
        "/v1//../chat/completions",
        "/health/%2e%2e/v1/chat/completions",
        "/health/..%2fv1/chat/completions",
        "/health/%252e%252e%252fv1/chat/completions",
        "/health/.%2E/v1/chat/completions",
        "/health/x/..;/../v1/chat/completions",
        "/health/..;a=b/v1/chat/completions",
        "/health\\..\\v1\\chat\\completions",
        "/health/..%5cv1/chat/completions",
        "//v1//chat/completions",
        "//health/v1/chat/completions",
        "/./v1/chat/./completions",
        "/v1/chat;x/completions;jsessionid=1",
        "/v1/chat/completions?/health",
        "/v1/chat/completions#/health",
        "/v1/chat/completions%3F",
        "/v1/chat/comp\nletions",
        "/v1/chat/completions%0a",
        "/v1/chat/completions/.",
        "/v1/chat/completions/x/..",
        "/../../v1/chat/completions",
        "http://health/v1/chat/completions",
        "/health/../../v1/chat/completions/",
        "/v1%2fchat%2fcompletions",
        "/health/%2\te./v1/chat/completions",
        "/health/%%092e./v1/chat/completions",
        "/v1/chat%\n2\rf%63ompletions",
    ],
)
def test_a_path_that_some_receiver_leads_to_a_model_says_so(path: str) -> None:
    assert not is_plain(path)
    assert readings(path)[0] == path
    assert CHAT in readings(path)


@given(st.one_of(paths, texts))
@example("/%\t22")
@example("/%%0922")
@example("/%2\n5\r2\te")
def test_the_normal_form_stays_as_it_is_unless_its_path_is_not_read(path: str) -> None:
    assume(not is_too_long(path))
    form = normal(path)
    assert normal(form) == form
    assert not {"", ".", ".."} & set(form.split("/")[1:-1])
    assert form in readings(path) or form == path.rstrip("/")


@given(st.one_of(paths, texts))
def test_what_httpx_and_urllib_make_of_a_path_is_among_its_readings(path: str) -> None:
    known = {reading.strip("/") for reading in readings(path)}
    sent = quote(path, safe="/;")
    assume(not sent.endswith(";"))  # urllib drops this one alone, before anything is sent
    assert unquote(httpx.URL("http://h" + sent).raw_path.decode()).strip("/") in known
    assert unquote(urlsplit(urljoin("http://h/", "http://h" + sent)).path).strip("/") in known


@given(st.one_of(paths, texts))
def test_a_plain_path_is_one_that_no_client_changes(path: str) -> None:
    if is_plain(path):
        assert httpx.URL("http://server" + path).path in {path, path or "/"}
        assert urlsplit(urljoin("http://server/", path)).path == path
        assert unquote(path) == path


def test_the_path_as_sent_has_readings_of_its_own() -> None:
    assert "/responses" in readings("/a/b/../responses", "/a%2fb/../responses")


def test_readings_are_few() -> None:
    assert len(readings(("//a;b?c#d\\e\x01%252e/.." * 60)[:1_000])) < 200


@pytest.mark.parametrize("escape", ["%252525252f", "%%%%%33332f", "%2\n525\t25\r2\r52f"])
def test_a_path_encoded_more_often_than_any_proxy_decodes_is_not_read(escape: str) -> None:
    assert is_too_long(f"/v1/chat{escape}completions")


def test_a_path_that_proxies_decode_in_turn_is_read() -> None:
    path = "/v1/chat%2525252fcompletions"  # by the server once, by proxies three times
    assert not is_too_long(unquote(path))
    assert CHAT in readings(unquote(path))


def test_a_long_path_is_too_long_only_if_it_has_many_readings() -> None:
    assert not is_too_long("/a" * 5_000)
    assert is_too_long("/a/.." * 500)
    assert len(readings("/%25252e;?#\\" * 5_000)) <= 2
