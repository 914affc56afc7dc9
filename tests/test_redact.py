from __future__ import annotations

import struct
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.backends import SCHEMES
from querybudget.redact import LONGEST, error_type, redact_error, redact_names, redact_url, shown

SERVERS = st.sampled_from(sorted(SCHEMES.keys() - {"memory", "sqlite"}))
PASSWORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), max_size=20).map(
    lambda text: f"Zq{text}Zq"
)
"""Passwords with any punctuation, marked so that no part of a message can equal one by chance."""

ANY = st.text(max_size=40)
WORDS = st.text("abcdef0123456789/-_.", min_size=12, max_size=64)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://db:6379/0", "redis://db:6379/0"),
        ("redis://:open@db:6379/0", "redis://db:6379/0"),
        ("rediss://user:open@db/0?password=open", "rediss://db/0"),
        ("redis+sentinel://:open@one,two/main", "redis+sentinel://one,two/main"),
        ("redis://:op?en@db", "redis://..."),
        ("redis://user:a@b?c@db", "redis://..."),
        ("sqlite:////var/lib/a@b.db?busy=2s", "sqlite:////var/lib/a@b.db"),
        ("memory://", "memory://"),
        ("open", "..."),
        ("", "..."),
    ],
)
def test_a_url_is_shown_without_credentials_and_query(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@given(SERVERS, st.sampled_from(["", "user"]), PASSWORDS, st.booleans())
def test_no_password_of_a_url_survives(
    scheme: str, user: str, password: str, encoded: bool
) -> None:
    written = quote(password, safe="") if encoded else password
    url = f"{scheme}://{user}:{written}@db:6379/0"
    message = f"cannot reach {url}: invalid password {password}, written {written}"

    assert "Zq" not in redact_url(url)
    assert "Zq" not in redact_error(message, url)
    assert "Zq" not in redact_error(f"cannot reach {url}: refused")


@given(SERVERS, PASSWORDS)
def test_no_access_token_survives_that_stands_where_a_user_does(scheme: str, token: str) -> None:
    url = f"{scheme}://{quote(token, safe='')}@db:6379/0"

    assert "Zq" not in redact_error(f"{url} refused {token}", url)


def test_the_rest_of_a_message_stays() -> None:
    url = "redis://user:open%2Fsesame@db:6379"

    assert redact_error(f"{url} refused open/sesame", url) == "redis://db:6379 refused ..."
    assert redact_error("no answer within 250 ms", url) == "no answer within 250 ms"


@given(ANY, WORDS, ANY, st.sampled_from("'\""))
def test_no_long_quoted_word_survives(before: str, word: str, after: str, quotes: str) -> None:
    message = redact_names(f"{before}{quotes}{word}{quotes}{after}")

    assert word not in message or word in before or word in after


def test_short_and_unquoted_words_stay() -> None:
    assert redact_names("the account of 'identity:0123456789' is full") == (
        "the account of '...' is full"
    )
    assert redact_names("it's unreadable, 'disk I/O' failed") == (
        "it's unreadable, 'disk I/O' failed"
    )


def test_the_type_of_an_error_is_named_with_its_module_unless_it_is_python_s_own() -> None:
    assert error_type(ValueError("a prompt")) == "ValueError"
    assert error_type(struct.error("a prompt")) == "struct.error"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpt-4o", "gpt-4o"),
        ("modèle/日本", "modèle/日本"),
        ("a\nERROR b", "a\\nERROR b"),
        ("a\r\nset-cookie: x", "a\\r\\nset-cookie: x"),
        ("\x1b[31mred\x00", "\\x1b[31mred\\x00"),
        ("abc\u202edef", "abc\\u202edef"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("lone \ud800", "lone \\ud800"),
        ("tag \U000e0041", "tag \\U000e0041"),
    ],
)
def test_what_a_stranger_sent_is_shown_on_one_line(text: str, expected: str) -> None:
    assert shown(text) == expected


@given(st.text() | st.text("\n\x00\u202e\ud800a", min_size=150, max_size=400))
def test_whatever_is_shown_is_printable_and_short(text: str) -> None:
    said = shown(text)
    assert said.isprintable()
    assert len(said) <= LONGEST + 3
    said.encode()


def test_a_huge_text_is_cut_and_says_so() -> None:
    assert shown("x" * 3_000_000) == "x" * 200 + "..."
