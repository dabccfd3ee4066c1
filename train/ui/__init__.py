"""The Train tab: pictures in, a model for the other tabs out."""

from __future__ import annotations

import html
import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from stargan import zoo
from stargan.files import places
from stargan.ui.library import Library
from stargan.ui.words import refusal
from train.data import own
from train.data.making import PrepareError
from train.run.runner import Progress, Runner

FOLDER, ZIP = "folder", "zip"
NOTHING = ""
EVERY = 3  # seconds between looks at a run
MARGIN = 5 / 4  # how much larger than the model's pictures they are kept, for the random crops
OFF = (
    "Training is switched off on this page. On a machine of your own, `python app.py` has it, and so has a Space with "
    "`STARGAN_TRAIN=1` among its variables; `python -m train fit` does the same without a page."
)
WORDS = {
    "starting": "starting: reading the pictures",
    "running": "running",
    "stopped": "stopped; it can be continued",
    "done": "done",
    "failed": "failed",
}


def tab(library: Library, opened: gr.Tab, folders: Path | None) -> None:
    """Builds the tab `opened`, which is open. folders: where prepared data folders are and uploads are put; None
    where training is not allowed."""
    if folders is None:
        gr.Markdown(OFF, elem_id="train-off")
        return
    runner = Runner(places.runs(), folders)
    with gr.Row(elem_id="train"):
        with gr.Column(min_width=300):
            gr.Markdown(
                "Train a model on pictures of your own, sorted by domain. Whoever can open this page sees the runs and the "
                "pictures that they make; what is uploaded here is kept on the machine that runs it."
            )
            name = gr.Textbox("", label="Name of the new model", elem_id="train-name", placeholder="my-model", max_lines=1)
            kind = gr.Radio([("Folder on this machine", FOLDER), ("Zip file", ZIP)], value=FOLDER, label="Pictures")
            datasets = list(runner.datasets())
            dataset = gr.Dropdown(
                datasets,
                value=datasets[0] if datasets else None,
                label="Prepared folder",
                elem_id="train-folder",
                info=f"Folders with train/<domain>/ and val/<domain>/ in {folders.name}/.",
            )
            with gr.Group(visible=False) as upload:
                archive = gr.File(
                    label="Zip of <domain>/*.jpg", file_types=[".zip"], elem_id="train-zip", type="filepath", height=120
                )
                aligned = gr.Checkbox(True, label="Align faces", info="Off: the pictures' central squares.", elem_id="train-align")
            start_from = gr.Dropdown(
                [("Nothing", NOTHING), *((n, n) for n in library.names())],
                value=library.default,
                label="Start from",
                elem_id="train-from",
                info="A model that knows faces already needs fewer pictures and hours.",
            )
            with gr.Group(visible=False) as shape:
                size = gr.Radio([64, 128, 256], value=128, label="Size in px")
                widths = [("Quarter", 4), ("Half", 2), ("Published", 1)]
                width = gr.Radio(widths, value=4, label="Width", info="Of the networks: time for quality.")
                masks = gr.Checkbox(True, label="Face masks", info="For faces: keeps eyes, nose, mouth and jaw of the source.")
            with gr.Row():
                iterations = gr.Number(
                    2000, label="Iterations", elem_id="train-iterations", precision=0, minimum=1, maximum=10**7, min_width=100
                )
                batch = gr.Number(8, label="Batch", elem_id="train-batch", precision=0, minimum=1, maximum=256, min_width=100)
                every = gr.Number(
                    100, label="Save every", elem_id="train-every", precision=0, minimum=1, maximum=10**6, min_width=100
                )
            start = gr.Button("Start training", variant="primary", elem_id="train-start")
        with gr.Column(min_width=320):
            run = gr.Dropdown(runner.names(), value=_newest(runner), label="Run", elem_id="train-run")
            state = gr.HTML("", elem_id="train-state")
            with gr.Row():
                stop = gr.Button("Stop (saves)", variant="stop", elem_id="train-stop", interactive=False)
                go_on = gr.Button("Continue", elem_id="train-continue", interactive=False)
            plot = gr.LinePlot(x="iteration", y="value", color="loss", y_title="", label="Losses", elem_id="train-plot")
            sheet = gr.Image(
                label="Samples",
                alt_text="Sources, translations and reconstructions by the run",
                elem_id="train-sheet",
                interactive=False,
                format="webp",
                buttons=["download", "fullscreen"],
            )
    seen = gr.State(("", -1, ""))
    timer = gr.Timer(EVERY)

    def watch(name: str | None, seen: tuple[str, int, str]) -> Any:
        """What the page shows of a run; the curves and the sheet only where they are others than those that are seen."""
        try:
            now = runner.progress(name or "")
        except ValueError:
            return "<p>No run yet.</p>", gr.skip(), gr.skip(), gr.skip(), gr.skip(), seen
        going = now.state in ("starting", "running")
        drawn = name, now.iteration, str(now.sheet)
        curves = _plot(now) if drawn[:2] != seen[:2] else gr.skip()
        picture = _opened(now.sheet) if (drawn[0], drawn[2]) != (seen[0], seen[2]) else gr.skip()
        return _state(name, now), gr.update(interactive=going), gr.update(interactive=not going), curves, picture, drawn

    def begin(
        name: str, kind: str, dataset: str | None, archive: str | None, aligned: bool, start_from: str, size: int, width: int,
        masks: bool, iterations: float | None, batch: float | None, every: float | None,
        progress: gr.Progress = gr.Progress(track_tqdm=True),  # noqa: B008
    ) -> Any:  # fmt: skip
        changes: dict[str, Any] = {
            "iterations": int(iterations or 0),
            "batch": int(batch or 0),
            "save_every": int(every or 0),
            "sample_every": int(every or 0),
            "init_from": start_from,
        }
        if start_from == NOTHING:
            changes |= {"image_size": size, "base_channels": 2**14 // size // width, "max_channels": 512 // width}
            changes |= {"w_hpf": float(masks)}
        name = name.strip()
        try:
            side = zoo.load(start_from).config.image_size if start_from else size
            folder = _folder(runner, kind, name, dataset, archive, aligned, round(side * MARGIN))
            runner.start(runner.settings(name, folder, **changes))
        except ValueError as error:
            raise refusal(error) from None
        return gr.update(choices=runner.names(), value=name)

    def end(name: str | None) -> None:
        try:
            runner.stop(name or "")
        except ValueError as error:
            raise refusal(error) from None

    def resume(name: str | None, iterations: float | None) -> None:
        try:
            runner.resume(name or "", int(iterations or 0))
        except ValueError as error:
            raise refusal(error) from None

    def refresh(name: str | None) -> Any:
        known = list(runner.datasets())
        models = [("Nothing", NOTHING), *((n, n) for n in library.names())]
        return gr.update(choices=known), gr.update(choices=models), gr.update(choices=runner.names(), value=name or _newest(runner))

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    shown = [state, stop, go_on, plot, sheet, seen]
    look = {"fn": watch, "inputs": [run, seen], "outputs": shown, "queue": False}
    gr.on([opened.select, timer.tick, run.change], **look, **quiet)
    form = [name, kind, dataset, archive, aligned, start_from, size, width, masks, iterations, batch, every]
    gr.on(start.click, begin, form, run, api_visibility="private", show_progress_on=[start]).then(**look, **quiet)
    stop.click(end, run, api_visibility="private").then(**look, **quiet)
    go_on.click(resume, [run, iterations], api_visibility="private").then(**look, **quiet)
    gr.on([dataset.focus, start_from.focus, run.focus], refresh, run, [dataset, start_from, run], **quiet)
    kind.change(lambda value: [gr.update(visible=value == shown) for shown in (FOLDER, ZIP)], kind, [dataset, upload], **quiet)
    start_from.change(lambda value: gr.update(visible=value == NOTHING), start_from, shape, **quiet)


def _folder(runner: Runner, kind: str, name: str, dataset: str | None, archive: str | None, aligned: bool, side: int) -> Path:
    """The data folder that a person means, made of their archive where they gave one."""
    if kind == FOLDER:
        found = runner.datasets()
        if dataset not in found:
            raise PrepareError("there is no prepared folder yet; run `python -m train prepare`, or upload a zip file")
        return found[dataset]
    if archive is None:
        raise PrepareError("there is no zip file yet; drop one that has a folder of pictures for each domain")
    runner.check(name)
    out = runner.folders / name
    fresh = not out.exists()
    try:
        own.folder(Path(archive), out, side, aligned)
    except ValueError:
        if fresh:
            shutil.rmtree(out, ignore_errors=True)
        raise
    return out


def _newest(runner: Runner) -> str | None:
    return next(iter(runner.names()), None)


def _state(name: str | None, now: Progress) -> str:
    share = min(now.iteration / now.iterations, 1) if now.iterations else 0
    facts = [f"iteration {now.iteration:,} of {now.iterations:,}"]
    if now.state == "running" and now.rate:
        facts += [f"{now.rate:.2f} a second", f"{_duration(now.remaining or 0)} to go"]
    label = html.escape(f"{name}: {WORDS[now.state]}")
    said = f"<p role='alert'>{html.escape(now.message[:1].upper() + now.message[1:])}</p>" if now.message else ""
    return (
        f"<p><strong>{label}</strong></p>{said}"
        f"<div role='progressbar' aria-label='{label}' aria-valuemin='0' aria-valuemax='100' aria-valuenow='{100 * share:.0f}'>"
        f"<div style='width:{100 * share:.1f}%'></div></div><p>{', '.join(facts)}</p>"
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
    return gr.LinePlot(pd.DataFrame(now.curves, columns=["iteration", "loss", "value"]), y_lim=[0, 1.1 * max(later)])


def _opened(path: Path | None) -> Image.Image | None:
    if path is None:
        return None
    try:
        with Image.open(path) as picture:
            return Image.fromarray(np.asarray(picture.convert("RGB")))
    except OSError:
        return None  # half written; the next look finds it whole
