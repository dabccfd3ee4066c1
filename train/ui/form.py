"""What a new run is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from stargan import zoo
from stargan.ui.events import QUIET
from stargan.ui.library import Library
from stargan.ui.pictures import there
from stargan.ui.words import plain, refusal
from train.data import own
from train.data.making import PrepareError
from train.run.runner import Runner
from train.ui.watch import Watch

FOLDER, ZIP = "folder", "zip"
NOTHING = ""
MARGIN = 5 / 4  # how much larger than the model's pictures they are kept, for the random crops


@dataclass(frozen=True)
class Form:
    """The widgets. `upload` holds archive and aligned; `shape` holds size, width and masks, for a run that starts from nothing."""

    runner: Runner
    library: Library
    name: gr.Textbox
    kind: gr.Radio
    dataset: gr.Dropdown
    upload: gr.Group
    archive: gr.File
    aligned: gr.Checkbox
    start_from: gr.Dropdown
    shape: gr.Group
    size: gr.Radio
    width: gr.Radio
    masks: gr.Checkbox
    iterations: gr.Number
    batch: gr.Number
    every: gr.Number
    start: gr.Button
    under_way: gr.Markdown

    @classmethod
    def build(cls, runner: Runner, library: Library) -> Form:
        gr.Markdown(
            "Train a model on pictures of your own, sorted by domain. Whoever can open this page sees the runs and the "
            "pictures that they make; what is uploaded here is kept on the machine that runs it."
        )
        name = gr.Textbox("", label="Name of the new model", elem_id="train-name", placeholder="my-model", max_lines=1)
        pictures = cls._pictures(runner)
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
            every = gr.Number(100, label="Save every", elem_id="train-every", precision=0, minimum=1, maximum=10**6, min_width=100)
        start = gr.Button("Start training", variant="primary", elem_id="train-start")
        under_way = gr.Markdown("", elem_classes="under-way")
        shaped = start_from, shape, size, width, masks
        return cls(runner, library, name, *pictures, *shaped, iterations, batch, every, start, under_way)

    @staticmethod
    def _pictures(runner: Runner) -> tuple[gr.Radio, gr.Dropdown, gr.Group, gr.File, gr.Checkbox]:
        kind = gr.Radio([("Folder on this machine", FOLDER), ("Zip file", ZIP)], value=FOLDER, label="Pictures")
        datasets = list(runner.datasets())
        dataset = gr.Dropdown(
            datasets,
            value=datasets[0] if datasets else None,
            label="Prepared folder",
            elem_id="train-folder",
            info=f"Folders with train/<domain>/ and val/<domain>/ in {runner.folders.name}/.",
        )
        with gr.Group(visible=False) as upload:
            kinds = [".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz"]
            archive = gr.File(label="Zip of <domain>/*.jpg", file_types=kinds, elem_id="train-zip", type="filepath", height=120)
            aligned = gr.Checkbox(True, label="Align faces", info="Off: the pictures' central squares.", elem_id="train-align")
        return kind, dataset, upload, archive, aligned

    def wire(self, watch: Watch, opened: gr.Tab) -> None:
        """A run that is started is the one that is watched."""
        asked = [
            self.name, self.kind, self.dataset, self.archive, self.aligned, self.start_from, self.size, self.width, self.masks,
            self.iterations, self.batch, self.every,
        ]  # fmt: skip
        started = gr.on(
            self.start.click, self.begin, asked, watch.run, api_visibility="private", show_progress_on=self.under_way
        )
        started.then(**watch.look(), **QUIET)
        choices = [self.dataset, self.start_from]
        gr.on([opened.select, *(box.focus for box in choices)], self.refresh, self.dataset, choices, **QUIET)
        self.kind.change(
            lambda kind: (gr.update(visible=kind == FOLDER), gr.update(visible=kind == ZIP)),
            self.kind,
            [self.dataset, self.upload],
            **QUIET,
        )
        self.start_from.change(lambda model: gr.update(visible=model == NOTHING), self.start_from, self.shape, **QUIET)

    def refresh(self, dataset: str | None) -> Any:
        """Data folders and models that there are by now."""
        datasets = list(self.runner.datasets())
        models = [("Nothing", NOTHING), *((n, n) for n in self.library.names())]
        return gr.update(choices=datasets, value=dataset or next(iter(datasets), None)), gr.update(choices=models)

    def begin(
        self, name: str, kind: str, dataset: str | None, archive: str | None, aligned: bool, start_from: str, size: int, width: int,
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
            folder = self._prepared(dataset) if kind == FOLDER else self._made(name, archive, aligned, round(side * MARGIN))
            self.runner.start(self.runner.settings(name, folder, **changes))
        except ValueError as error:
            raise refusal(error) from None
        return gr.update(choices=self.runner.names(), value=name)

    def _prepared(self, dataset: str | None) -> Path:
        found = self.runner.datasets()
        if dataset not in found:
            raise PrepareError("there is no prepared folder yet; run `python -m train prepare`, or upload a zip file")
        return found[dataset]

    def _made(self, name: str, archive: str | None, aligned: bool, side: int) -> Path:
        """The data folder of that name, made of an archive."""
        if archive is None:
            raise PrepareError("there is no zip file yet; drop one that has a folder of pictures for each domain")
        self.runner.check(name)
        self.runner.check_idle()  # before what may take minutes
        out = self.runner.folders / name
        try:
            report = own.folder(there(archive, "zip file"), out, side, aligned, undo=True)
        except OSError as error:
            raise PrepareError(
                f"{self.runner.folders} cannot be written to ({error.strerror or error}); make room there, or start the page with "
                "another --data"
            ) from None
        left = f", {len(report.skipped)} left out, such as {report.skipped[0]}" if report.skipped else ""
        told = "; ".join([f"{report.taken_for}: {report.written + report.kept} pictures{left}", *report.remarks])
        gr.Info(plain(told), title="")
        return out
