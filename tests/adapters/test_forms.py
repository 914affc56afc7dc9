"""Forms: what a server finds in one is what counts."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters import adapter_for
from querybudget.adapters.base import Call, Target
from querybudget.adapters.forms import AUDIO_BYTES, MAX_FIELD, MAX_PARTS, fields_of, parts_of
from querybudget.adapters.readings import LARGEST_ODD
from querybudget.errors import BodyError

MULTIPART = "multipart/form-data; boundary=b"


def form(*parts: tuple[str, bytes], mark: bytes = b"b") -> bytes:
    body = b""
    for name, content in parts:
        head = b"Content-Disposition: form-data; name=" + name.encode()
        body += b"--" + mark + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n"
    return body + b"--" + mark + b"--\r\n"


def read(path: str, body: bytes, media: str = MULTIPART) -> Call:
    adapter = adapter_for(path, "POST", ())
    assert adapter is not None
    return adapter.parse(Target(path, "", [(b"content-type", media.encode())]), body)


def test_fields_and_files_are_told_apart() -> None:
    body = form(('"model"', b"m"), ('"image[]"; filename="a.png"', b"\x89PNG"), ('"n"', b" 3 "))
    call = read("/v1/images/edits", body)
    assert (call.model, call.images, call.choices) == ("m", 1, 3)


def test_sound_counts_by_its_size() -> None:
    body = form(('"file"; filename="a.wav"', bytes(AUDIO_BYTES * 10)), ('"model"', b"m"))
    call = read("/v1/audio/transcriptions", body)
    assert (call.input_tokens, call.images, call.generates) == (10, 0, True)


def test_the_header_s_boundary_counts_and_no_other() -> None:
    real = form(('"n"', b"9"), ('"prompt"', b"x"))
    fake = form(('"n"', b"1"), mark=b"fake")
    assert read("/v1/images/edits", fake + real).choices == 9


def test_a_quoted_boundary_is_the_same() -> None:
    assert (
        read("/v1/images/edits", form(('"n"', b"4")), 'multipart/form-data; boundary="b"').choices
        == 4
    )


def test_a_field_that_comes_twice_counts_as_the_dearer() -> None:
    assert read("/v1/images/edits", form(('"n"', b"1"), ('"n"', b"7"))).choices == 7


@pytest.mark.parametrize(
    "head",
    [
        'Content-Disposition: form-data; name="n"\r\nX-Note: filename=a',
        'X-Note: name="note"\r\nContent-Disposition: form-data; name="n"',
        'Content-Disposition: form-data; Name="n"',
        "CONTENT-DISPOSITION: Form-Data; NAME=n",
        'Content-Disposition: form-data; name = "n"',
        "Content-Disposition: form-data; name*=utf-8''n",
        'Content-Disposition: form-data; name="\\n"',
        'Content-Disposition: form-data; x="; name=x"; name="n"',
        'Content-Disposition: form-data; name="x"; name="n"',
        'Content-Disposition: form-data; name="n"; filename=""',
        'Content-Disposition: form-data; name="x"; filename="a"; name="n"',
        'Content-Disposition: form-data; name="x"\r\nContent-Disposition: form-data; name="n"',
        'Content-Disposition: form-data;\r\n name="n"',
    ],
)
def test_a_field_counts_however_its_name_is_written_or_nobody_reads_the_form(head: str) -> None:
    """Servers differ about such headers, and one that finds ``n`` makes nine pictures."""
    body = b"--b\r\n" + head.encode() + b"\r\n\r\n9\r\n" + form(('"prompt"', b"x"))
    with suppress(BodyError):
        assert read("/v1/images/edits", body).choices == 9


@pytest.mark.parametrize(
    "head",
    [
        'Content-Disposition: form-data; name="image"; filename="a;b.png"',
        "Content-Disposition: form-data; name=image; filename=a.png; filename*=utf-8''a.png",
        "content-disposition: form-data; name=\"image\"; filename*=UTF-8''%e2%82%ac.png",
        'Content-Disposition: form-data; name="image"; filename="C:\\a.png"',
    ],
)
@pytest.mark.parametrize(
    "more",
    [
        "",
        "\r\nContent-Type: image/png",
        "\r\nContent-Transfer-Encoding: binary\r\nContent-Length: 3",
    ],
)
def test_files_are_read_as_clients_send_them(head: str, more: str) -> None:
    body = b"--b\r\n" + (head + more).encode() + b"\r\n\r\n\x89PN\r\n" + form(('"n"', b"2"))
    call = read("/v1/images/edits", body)
    assert (call.images, call.choices) == (1, 2)


def test_a_file_that_was_not_chosen_is_one_that_is_empty() -> None:
    call = read("/v1/images/edits", form(('"mask"; filename=""', b""), ('"n"', b"2")))
    assert (call.choices, call.images) == (2, 1)


@pytest.mark.parametrize("before", [b"x\n--b--", b"x\r\n--b--\r\n"])
def test_a_field_after_what_may_be_the_end_counts(before: bytes) -> None:
    body = form(('"prompt"', before), ('"n"', b"9"))
    assert read("/v1/images/edits", body).choices == 9


@pytest.mark.parametrize(
    "media",
    [
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=b; Boundary=a",
        "multipart/form-data; boundary=b; boundary*=utf-8''a",
        'multipart/form-data; x="; boundary=b"; boundary=a',
    ],
)
def test_a_form_with_two_boundaries_cannot_be_read(media: str) -> None:
    with pytest.raises(BodyError, match="one boundary"):
        read("/v1/images/edits", form(('"n"', b"1")), media)


def test_a_boundary_that_says_so_is_one() -> None:
    mark = "----WebKitFormBoundary7MA4YWxk"
    body = form(('"n"', b"4"), mark=mark.encode())
    assert read("/v1/images/edits", body, f"multipart/form-data; boundary={mark}").choices == 4


def test_a_longer_field_than_any_cannot_be_read() -> None:
    with pytest.raises(BodyError, match="field"):
        read("/v1/images/edits", form(('"prompt"', bytes(MAX_FIELD + 1))))


def test_a_long_form_that_names_a_field_twice_is_not_read_so_often() -> None:
    half = ('"prompt"', b"x" * (LARGEST_ODD // 2 + 1))
    with pytest.raises(BodyError, match="once"):
        list(fields_of(form(half, half), MULTIPART))
    sound = ('"file"; filename="a.wav"', bytes(2 * LARGEST_ODD))
    times = [('"timestamp_granularities[]"', kind) for kind in (b"word", b"segment")]
    assert len(list(fields_of(form(sound, *times), MULTIPART))) == 3


def test_a_url_encoded_form_is_read_too() -> None:
    call = read("/v1/images/edits", b"model=m&prompt=hi&n=5", "application/x-www-form-urlencoded")
    assert (call.model, call.choices) == ("m", 5)


@pytest.mark.parametrize("media", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_without_a_boundary_cannot_be_read(media: str) -> None:
    with pytest.raises(BodyError, match="boundary"):
        read("/v1/images/edits", form(('"n"', b"1")), media)


def test_a_form_of_too_many_parts_cannot_be_read() -> None:
    with pytest.raises(BodyError, match="parts"):
        list(parts_of(form(*[("n", b"")] * (MAX_PARTS + 1)), MULTIPART))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_are_a_body_error(data: bytes) -> None:
    for body in (data, b"--b\r\n" + data, b"--b\r\nname=\r\n\r\n" + data + b"\r\n--b--"):
        try:
            read("/v1/audio/transcriptions", body)
        except BodyError:
            continue


@given(st.lists(st.binary(max_size=30).filter(lambda part: b"--b" not in part), max_size=5))
def test_parts_come_back_as_they_were_sent(contents: list[bytes]) -> None:
    body = form(*[('"f"', content) for content in contents])
    assert [part.content for part in parts_of(body, MULTIPART)] == contents
