"""A run as it goes on: its state, curves and samples, a way to stop it and one to continue."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from stargan.ui.events import QUIET
from stargan.ui.words import refusal
from train.log import LOSSES
from train.run.runner import Progress, Runner

# Apart for those who see few colours, too, and on a light and a dark page (Okabe and Ito, jfly.uni-koeln.de/color).
COLOURS = dict(zip(LOSSES, ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#888888"), strict=True))
EVERY = 3  # seconds between looks at a run
WORDS = {
    "starting": "starting: reading the pictures",
    "running": "running",
    "stopped": "stopped; it can be continued",
    "done": "done",
    "failed": "failed",
}


@dataclass(frozen=True)
class Watch:
    """The widgets. shown: which run, iteration and sheet the page shows, so that nothing is sent twice."""

    runner: Runner
    run: gr.Dropdown
    state: gr.HTML
    stop: gr.Button
    resume: gr.Button
    plot: gr.LinePlot
    sheet: gr.Image
    shown: gr.State
    timer: gr.Timer

    @classmethod
    def build(cls, runner: Runner) -> Watch:
        run = gr.Dropdown(runner.names(), value=None, label="Run", elem_id="train-run")
        state = gr.HTML("", elem_id="train-state")
        with gr.Row():
            stop = gr.Button("Stop (saves)", variant="stop", elem_id="train-stop", interactive=False)
            resume = gr.Button("Continue", elem_id="train-continue", interactive=False)
        plot = gr.LinePlot(
            x="iteration", y="value", color="loss", y_title="", label="Losses", elem_id="train-plot",
            color_map=COLOURS, colors_in_legend=[],  # Gradio's own legend is cut off where the page is narrow
        )  # fmt: skip
        names = (f"<span><i style='background:{colour}'></i>{loss}</span>" for loss, colour in COLOURS.items())
        gr.HTML(f"<div>{''.join(names)}</div>", elem_id="train-losses")
        sheet = gr.Image(
            label="Samples",
            alt_text="Sources, translations and reconstructions by the run",
            elem_id="train-sheet",
            interactive=False,
            format="webp",
            buttons=["download", "fullscreen"],
        )
        return cls(runner, run, state, stop, resume, plot, sheet, gr.State(("", -1, "")), gr.Timer(EVERY))

    def wire(self, opened: gr.Tab, iterations: gr.Number) -> None:
        """iterations: up to which a run is continued, where somebody has written there."""
        written = gr.State(False)
        iterations.input(lambda: True, None, written, **QUIET)
        opened.select(self.refresh, self.run, self.run, **QUIET)
        gr.on([opened.select, self.timer.tick, self.run.change], **self.look(), **QUIET)
        self.stop.click(self.end, self.run, api_visibility="private").then(**self.look(), **QUIET)
        self.resume.click(self.go_on, [self.run, iterations, written], api_visibility="private").then(**self.look(), **QUIET)
        self.run.focus(self.refresh, self.run, self.run, **QUIET)

    def look(self) -> dict[str, Any]:
        """The event that shows how the run stands."""
        outputs = [self.state, self.stop, self.resume, self.plot, self.sheet, self.shown]
        return {"fn": self.show, "inputs": [self.run, self.shown], "outputs": outputs, "queue": False}

    def show(self, name: str | None, shown: tuple[str, int, str]) -> Any:
        """What the page shows of a run; the curves and the sheet only where they are others than those that are shown."""
        try:
            now = self.runner.progress(name or "")
        except ValueError:
            words = f"{html.escape(name)} is no longer there." if name else "No run yet."
            off = gr.update(interactive=False)
            return f"<p>{words}</p>", off, off, *([None, None] if shown[0] else [gr.skip()] * 2), ("", -1, "")
        going = now.state in ("starting", "running")
        drawn = name, now.iteration, str(now.sheet)
        curves = _plot(now) if drawn[:2] != shown[:2] else gr.skip()
        picture = _opened(now.sheet) if (drawn[0], drawn[2]) != (shown[0], shown[2]) else gr.skip()
        return _state(name, now), gr.update(interactive=going), gr.update(interactive=not going), curves, picture, drawn

    def end(self, name: str | None) -> None:
        try:
            self.runner.stop(name or "")
        except ValueError as error:
            raise refusal(error) from None

    def go_on(self, name: str | None, iterations: float | None, written: bool) -> None:
        """To as many iterations as somebody has written down, otherwise to those that the run was to have."""
        try:
            now = self.runner.progress(name or "")
            own = now.iterations if now.iteration < now.iterations and not written else None
            self.runner.resume(name or "", own or int(iterations or 0))
        except ValueError as error:
            raise refusal(error) from None

    def refresh(self, name: str | None) -> Any:
        return gr.update(choices=self.runner.names(), value=name or _newest(self.runner))


def _newest(runner: Runner) -> str | None:
    return runner.busy() or next(iter(runner.names()), None)


def _state(name: str | None, now: Progress) -> str:
    fraction = min(now.iteration / now.iterations, 1) if now.iterations else 0
    facts = [f"iteration {now.iteration:,} of {now.iterations:,}"]
    if now.state == "running" and now.rate:
        facts += [f"{now.rate:.2f} a second", f"{_duration(now.remaining or 0)} to go"]
    label = html.escape(f"{name}: {WORDS[now.state]}")
    said = f"<p role='alert'>{html.escape(now.message[:1].upper() + now.message[1:])}</p>" if now.message else ""
    pushed = (
        f"<p>To the Hugging Face Hub, under a licence that its pictures allow: <code>{html.escape(now.push)}</code></p>"
        if now.push
        else ""
    )
    return (
        f"<p><strong>{label}</strong></p>{said}"
        f"<div role='progressbar' aria-label='{label}' aria-valuemin='0' aria-valuemax='100' aria-valuenow='{100 * fraction:.0f}'>"
        f"<div style='width:{100 * fraction:.1f}%'></div></div><p>{', '.join(facts)}</p>{pushed}"
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min" if minutes else "under a minute"


def _plot(now: Progress) -> Any:
    # Comes with Gradio, and takes a while to import.
    import pandas as pd

    if not now.curves:
        return None
    # The first losses can be so large that nothing is seen of the others.
    later = [value for iteration, _, value in now.curves if 10 * iteration > now.iteration]
    # Cut here, as Gradio (6.31) draws the points of before where limits come with new ones.
    rows = [(iteration, loss, min(value, 1.1 * max(later))) for iteration, loss, value in now.curves]
    return pd.DataFrame(rows, columns=["iteration", "loss", "value"])


def _opened(path: Path | None) -> Image.Image | None:
    if path is None:
        return None
    try:
        with Image.open(path) as picture:
            return Image.fromarray(np.asarray(picture.convert("RGB")))
    except OSError:
        return None  # half written; the next look finds it whole
