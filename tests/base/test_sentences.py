"""Catalogues: every code in every language, with the same figures."""

import json
import re
from pathlib import Path

import pytest

import detectors.registry  # noqa: F401 (its detectors bring their sentences)
from sensor.base import sentences
from sensor.base.sentences import (
    CATALOGUES,
    LANGUAGES,
    Sentence,
    figures_of,
    in_words,
    render,
    sentence,
)

CODES = sorted(CATALOGUES["en"])
MARKS = re.compile(r"[{}]|\[(?!limits)|(?<!limits)\]")
"""What must not be left of a template."""


def filled(code):
    """Something for each figure that fits its format."""
    template = CATALOGUES["en"][code]
    return {
        name: {"window": "1 h", "list": ["7", "8"], "": "7"}.get(spec, 7)
        for name, spec in re.findall(r"\{(\w+)(?::([^}]*))?\}", template)
    }


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_every_language_and_the_same_figures(code):
    for language in LANGUAGES:
        assert figures_of(code, language) == figures_of(code, "en")
        text = render(code, filled(code), language)
        assert text and not MARKS.search(text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_code_stands_twice_in_a_catalogue(language):
    """JSON's readers take the last, and say nothing."""

    def once(pairs):
        assert len(dict(pairs)) == len(pairs), [name for name, _ in pairs]
        return dict(pairs)

    file = Path(sentences.__file__).parent / "catalogue" / f"{language}.json"
    tables = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=once)
    assert {f"{table}.{name}" for table in tables for name in tables[table]} <= set(
        CATALOGUES[language]
    )


def test_no_language_has_more():
    codes = {language: sorted(texts) for language, texts in CATALOGUES.items()}
    assert codes == dict.fromkeys(LANGUAGES, codes["en"])
    assert set(CODES) <= set(codes["en"]), "parts that bring their own only add"


def test_a_part_without_its_figure_is_left_out():
    figures = {"lookups": 9, "window": "1 h", "usual": 3}
    assert render("mx_lookups.many", figures) == "9 MX lookups in 1 h, where 3 are usual"
    assert render("mx_lookups.many", figures | {"limit": 3.0}).endswith(", at most +3.0")


def test_one_and_many():
    figures = {"window": "1 day", "networks": 1}
    assert render("fan_out.usual", figures) == "1 foreign network in 1 day: nothing unusual"
    assert "0 foreign networks" in render("fan_out.usual", figures | {"networks": 0})


def test_a_figure_that_is_missing_is_an_error():
    with pytest.raises(KeyError):
        render("fan_out.usual", {"window": "1 day"})


def test_messages_of_old_and_of_other_versions_keep_their_text():
    assert in_words("", {}, "as it was", "ja") == "as it was"
    assert in_words("fan_out.of_tomorrow", {"n": 1}, "as it was") == "as it was"
    assert in_words("fan_out.usual", {}, "as it was", "ja") == "as it was"


def test_a_sentence_in_a_sentence():
    inner = Sentence("first_contact.none")
    made = sentence("unknown.code", why=inner, nothing=None)
    assert made.figures == {"why": {"code": "first_contact.none", "figures": {}}}


def test_a_code_without_a_template_is_told_with_its_figures():
    assert render("new_detector.found", {"things": 3}, "ja") == "new_detector.found: things 3"


def test_what_is_in_a_figure_is_not_read_again():
    figures = {"networks": "{usual}[", "window": "1 h", "usual": 3}
    assert render("fan_out.networks", figures).startswith("{usual}[ foreign")
