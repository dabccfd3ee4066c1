"""What the page says."""

from __future__ import annotations

import gradio as gr


def sentence(error: ValueError) -> str:
    """An error that a person caused, as a sentence."""
    text = str(error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def refusal(error: ValueError) -> gr.Error:
    """The same as what a handler raises, and the page shows in a corner."""
    return gr.Error(sentence(error), title="", print_exception=False)
