"""How handlers are called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

# Of a handler that nobody is to see at work. Whenever one begins, goes on or ends, Gradio tells the outputs of all that have run,
# and searches the page for each; those of quiet ones have nothing to show.
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "show_progress_on": []}


def always_last(triggers: Any | Sequence[Any], fn: Callable[..., Any], *boxes: Any, **options: Any) -> Any:
    """As `gr.on`: fn is called at each of these events, and for those that come while it runs once more, for the last of them.

    Gradio's own `trigger_mode="always_last"` sends such a last event to all who listen to it, not to the one that has missed it.
    Where two of them do, and take a while, they call each other up for ever (Gradio 6.31, `DependencyManager.dispatch`).
    It also lets each wait until those before it are through. What comes after an event in the browser alone does neither.
    """
    hear = functools.partial(gr.on, triggers) if isinstance(triggers, Sequence) else triggers
    heard = hear(None, js="() => {}", **QUIET)
    return heard.then(fn, *boxes, **{"trigger_mode": "always_last"} | options)
