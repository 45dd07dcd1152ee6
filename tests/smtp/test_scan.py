"""Bytes to words, against the long way in Python and against a parser of addresses."""

import random
import re
from email.utils import parseaddr

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor.smtp.scan import (
    blanks,
    code_at,
    domain_of,
    find,
    first_eight,
    is_digit,
    is_letter,
    lower,
    upper,
    word_at,
)


def array(raw: bytes):
    return np.frombuffer(bytearray(raw) or bytearray(1), np.uint8)


@given(st.binary(max_size=60), st.integers(0, 30), st.sampled_from([0, 10, 46, 127, 128, 255]))
def test_find_finds_what_bytes_find_does(raw, start, byte):
    start = min(start, len(raw))
    pattern = int.from_bytes(bytes([byte]) * 8, "little", signed=True)
    expected = raw.find(byte, start)
    found = find(array(raw), start, len(raw), byte, pattern)
    assert found == (len(raw) if expected < 0 else expected)


def test_letters_and_digits_of_all_bytes():
    for byte in range(256):
        character = bytes([byte])
        assert upper(byte) == character.upper()[0]
        assert lower(byte) == character.lower()[0]
        assert is_digit(byte) == character.isdigit()
        assert is_letter(byte) == bool(re.fullmatch(rb"[A-Z0-9-]", character))


@pytest.mark.parametrize(
    ("raw", "word", "end"),
    [
        (b"MAIL FROM:", "MAIL", 4),
        (b"mail", "MAIL", 4),
        (b"STARTTLS\r", "STARTTLS", 8),
        (b"PIPELINING 1", "PIPELINI", 10),
        (b"8BITMIME", "8BITMIME", 8),
        (b"MT-PRIORITY=3", "MT-PRIOR", 11),
        (b" MAIL", "", 0),
        (b"", "", 0),
        (b"\x00MAIL", "", 0),
        (b"M\xc3\x84IL", "M", 1),
    ],
)
def test_a_word_is_its_first_eight_as_capitals_and_where_it_ends(raw, word, end):
    assert word_at(array(raw), 0, len(raw)) == (first_eight(word), end)


def test_a_word_ends_where_it_is_told_to():
    assert word_at(array(b"MAILFROM"), 2, 5) == (first_eight("ILF"), 5)


def test_blanks_are_spaces_and_tabs_alone():
    assert blanks(array(b" \t \r x"), 0, 6) == 3
    assert blanks(array(b"   "), 0, 2) == 2
    assert blanks(array(b"x"), 0, 1) == 0


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"250 ok", 250), (b"250-ok", 250), (b"250", 250), (b"250ok", 250), (b"2500 ok", 0),
        (b"25", 0), (b"", 0), (b" 250", 0), (b"2x0 ok", 0), (b"\xff50", 0), (b"000", 0),
    ],
)  # fmt: skip
def test_a_code_is_three_digits_and_no_fourth(raw, code):
    assert code_at(array(raw), 0, len(raw)) == code


@pytest.mark.parametrize(
    ("path", "domain"),
    [
        (b"<a@b.example>", b"b.example"),
        (b"<a@b.example> SIZE=10", b"b.example"),
        (b"a@b.example SIZE=10", b"b.example"),
        (b"  <a@b.example>", b"b.example"),
        (b"<@relay.example:a@b.example>", b"b.example"),
        (b'<"a@c.example"@b.example>', b"b.example"),
        (b'<"a\\"@c.example"@b.example>', b"b.example"),
        (b'<"a>"@b.example>', b"b.example"),
        (b"<a@b.example.>", b"b.example"),
        (b"<a@b.example >", b"b.example"),
        (b"<a@[192.0.2.1]>", b"[192.0.2.1]"),
        (b"<>", b""),
        (b"<a>", b""),
        (b"", b""),
        (b"<a@b.example", b"b.example"),
        (b'<"a@b.example', b""),
    ],
)
def test_the_domain_of_a_path(path, domain):
    start, stop, end = domain_of(array(path), 0, len(path))
    assert path[start:stop] == domain
    assert stop <= end <= len(path)


def test_where_a_path_ends_parameters_begin():
    path = b'<"a b> SIZE=1"@c.example> BODY=8BITMIME'
    _, _, end = domain_of(array(path), 0, len(path))
    assert path[end:] == b" BODY=8BITMIME"


def test_domains_are_those_the_standard_library_finds():
    rng = random.Random(3)
    for _ in range(300):
        local = rng.choice(["a", "a.b", '"x y"', '"q@r"', "a+b", "b=c", r'"\""'])
        host = ".".join("".join(rng.choices("abc-9", k=5)) for _ in range(rng.randrange(1, 4)))
        text = f"<{local}@{host}>"
        start, stop, _ = domain_of(array(text.encode()), 0, len(text))
        assert text[start:stop] == parseaddr(text)[1].rpartition("@")[2]


@given(st.binary(max_size=40))
def test_no_path_leads_out_of_its_line(raw):
    start, stop, end = domain_of(array(raw), 0, len(raw))
    assert 0 <= start <= stop <= end <= len(raw)
