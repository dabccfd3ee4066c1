"""What the page says."""

from __future__ import annotations

import re

import gradio as gr

LONGEST_QUOTE, LONGEST = 80, 1000  # characters of what is quoted, and of all that is said
# As repr writes it; an apostrophe stands beside a letter on both sides.
QUOTE = re.compile(r"""(?<!\w)(['"])((?:(?!\1)[^\\]|\\.)*)\1(?!\w)""", re.DOTALL)
NAME = re.compile(r"\S*[._/]\S")  # of a file or a parameter, at the beginning
# What browsers take for HTML and Gradio's Markdown for a link, a picture or a style; what has been escaped already stays.
MARKUP = re.compile(r"[<>\[\]`*_~$\\|!@]|(?<!&)#|&(?!#\d+;)|(?<=:)//|(?<=www)\.", re.IGNORECASE)


def deleted(what: str) -> str:
    """What is said where a file has gone that a person has brought, as it does after a while."""
    return f"this {what} has been deleted from the page meanwhile; drop it again"


def said(error: ValueError) -> str:
    """An error that a person caused, as a sentence; of long input it quotes the beginning."""
    text = QUOTE.sub(_shortened, str(error).rstrip("."))
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"{text}." if NAME.match(text) else f"{text[:1].upper()}{text[1:]}."


def plain(text: str) -> str:
    """Text that HTML and Markdown show as it is, whoever wrote it."""
    return MARKUP.sub(lambda found: "".join(f"&#{ord(letter)};" for letter in found[0]), text)


def sentence(error: ValueError) -> str:
    """What is `said` of an error, for a place of the page that shows HTML or Markdown."""
    return plain(said(error))


def refusal(error: ValueError) -> gr.Error:
    """The same as what a handler raises, and the page shows in a corner."""
    return gr.Error(sentence(error), title="", print_exception=False)


def answer(error: ValueError) -> gr.Error:
    """What is `said` of an error as what an endpoint raises, for programs, which take it as text."""
    return gr.Error(said(error), title="", print_exception=False)


def _shortened(quote: re.Match[str]) -> str:
    mark, text = quote.groups()
    return quote[0] if len(text) <= LONGEST_QUOTE else f"{mark}{text[:LONGEST_QUOTE]}…{mark}"
