"""How what the page says is put."""

from __future__ import annotations

import html

import pytest

from stargan.ui.words import LONGEST, LONGEST_QUOTE, answer, plain, refusal, said, sentence

FORM = "<form action='https://evil.example'><input name=password></form>"
WRITTEN = [
    FORM,
    "<h1>Gone</h1> & more",
    "[in](https://evil.example)",
    "![x](//evil.example/x.png)",
    "WWW.evil.example",
    "a@evil.example",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_what_somebody_wrote_is_no_markup(text: str) -> None:
    shown = plain(text)
    assert html.unescape(shown) == text and plain(shown) == shown
    assert not set("<>[]!@") & set(shown) and "://" not in shown and "www." not in shown.lower()


def test_the_page_gets_plain_text_and_programs_what_was_meant() -> None:
    error = ValueError(f"there is no model {FORM!r}")
    assert "<" not in sentence(error) and refusal(error).message == sentence(error)
    assert html.unescape(sentence(error)) == answer(error).message == said(error) == f"There is no model {FORM!r}."


@pytest.mark.parametrize("text", ["x" * 2000, "it's " * 400, 'say "no" ' * 300, "'\"" * 900])
def test_of_long_input_the_beginning_is_quoted(text: str) -> None:
    told = said(ValueError(f"the link's seed is {text!r}; it isn't one, write 7"))
    assert told.startswith(f"The link's seed is {repr(text)[:LONGEST_QUOTE]}") and told.endswith("; it isn't one, write 7.")
    assert len(told) < LONGEST_QUOTE + 60 and "…" in told
    assert len(said(ValueError(f"it is {[1] * 1000}"))) <= LONGEST + 2


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("zero.mp4 has no picture", "zero.mp4 has no picture."),
        ("keep_eyes is 'x'", "keep_eyes is 'x'."),
        ("hub/model is gated", "hub/model is gated."),
        ("'half' is no seed.", "'half' is no seed."),
        ("psi is 3", "Psi is 3."),
        ("no.", "No."),
    ],
)
def test_names_stay_as_they_are_written(error: str, told: str) -> None:
    assert said(ValueError(error)) == told
