"""Mistakes in settings are said without the parser, with what may stand there and the line."""

import doctest

import pytest

from sensor.base import settings_words
from sensor.settings import SettingsError, parse_settings

TEXT = """
live.metrics = "x"
[web]
listen = "nowhere"
[[web.links]]
name = "ok"
url = "https://a.example/"
[[web.links]]
name = "wrong"
url = "ftp://a.example/"
[blocking]
mode = "enforced"
"""


def test_what_may_stand_there_and_where_it_stands():
    with pytest.raises(SettingsError) as caught:
        parse_settings(TEXT)
    said = str(caught.value)
    for mistake in (
        "live.metrics: expected as in '127.0.0.1:9625' (line 2)",
        "web.listen: expected as in '127.0.0.1:8625' (line 4)",
        "blocking.mode: 'enforced' is none of off, dry-run, enforce (line 12)",
    ):
        assert mistake in said
    assert "(line 10)" in said and "regex" not in said


def test_docstrings_tell_the_truth():
    assert doctest.testmod(settings_words).failed == 0
