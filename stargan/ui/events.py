"""How handlers are called."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

# Of a handler that nobody is to see at work. Whenever one begins, goes on or ends, Gradio tells the outputs of all that have run,
# and searches the page for each; those of quiet ones have nothing to show.
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "show_progress_on": []}


# Of files, their paths, and what Gradio knows by that they are files that it has to look at.
GATHER = """(...values) => {
  const file = value => value?.meta?._type && value.path ? { path: value.path, meta: value.meta } : value
  return Object.fromEntries(%s.map((name, i) => [name, file(values[i])]))
}"""


@dataclass(frozen=True)
class Gathered:
    """The values of many widgets, by name, in one: what handlers take that need them all.

    Of each message about a handler, Gradio tells all its inputs, too, each of which it searches the page for and copies with all
    that it is made of (6.31). With 44 of them, one step of the slider was 1,100 such copies, half of the browser's time for it.
    """

    widgets: Mapping[str, Any]
    box: gr.HTML

    @classmethod
    def build(cls, widgets: Mapping[str, Any], elem_id: str) -> Gathered:
        return cls(widgets, gr.HTML({}, html_template="<span></span>", visible="hidden", elem_id=elem_id, apply_default_css=False))

    @property
    def step(self) -> dict[str, Any]:
        """What an event that happens in the browser alone does to gather them."""
        return {"js": GATHER % json.dumps(list(self.widgets)), "inputs": list(self.widgets.values()), "outputs": self.box, **QUIET}

    def before(self, trigger: Any, fn: Callable[..., Any], **options: Any) -> Any:
        """As `trigger(fn, ...)`, once they have been gathered."""
        return trigger(None, **self.step).then(fn, **options)


def always_last(
    triggers: Any | Sequence[Any], fn: Callable[..., Any], *boxes: Any, gathered: Gathered | None = None, **options: Any
) -> Any:
    """As `gr.on`: fn is called at each of these events, and for those that come while it runs once more, for the last of them;
    with what has been gathered then.

    Gradio's own `trigger_mode="always_last"` sends such a last event to all who listen to it, not to the one that has missed it.
    Where two of them do, and take a while, they call each other up for ever (Gradio 6.31, `DependencyManager.dispatch`).
    It also lets each wait until those before it are through. What comes after an event in the browser alone does neither.
    """
    hear = functools.partial(gr.on, triggers) if isinstance(triggers, Sequence) else triggers
    heard = hear(None, **(gathered.step if gathered is not None else {"js": "() => {}", **QUIET}))
    return heard.then(fn, *boxes, **{"trigger_mode": "always_last"} | options)


def unhurried(page: gr.Blocks) -> gr.Blocks:
    """This page, which looks for events to begin with every five milliseconds, and for progress to tell every fifty. Gradio's queue
    does so every one and ten (6.31), which takes 7 % of a core for as long as the page is up, whether anybody is there or not. It
    also asks for the signature of each component whenever somebody comes, in half of the 18 ms for which all others wait then; here
    it is kept. To be called after `queue`, which makes a new one."""
    for build in {type(block).__init__ for block in page.blocks.values()}:
        build.__dict__.setdefault("__signature__", inspect.signature(build))
    queue = page._queue
    queue.sleep_when_free = max(0.005, queue.sleep_when_free)
    queue.progress_update_sleep_when_free = max(0.05, queue.progress_update_sleep_when_free)
    return page
