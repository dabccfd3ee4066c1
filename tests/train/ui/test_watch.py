"""What the Train tab says of a run, and what it asks for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest

from train.config import TrainingError
from train.data import own
from train.run.runner import Progress, Runner
from train.ui.form import Form
from train.ui.watch import Watch, _plot

STOPPED = Progress("stopped", 36, 100_000, None, [], None)


def watching(runner: object) -> Watch:
    return Watch(cast(Any, runner), *[cast(Any, None)] * 8)


def test_losses_of_the_beginning_are_cut_where_nothing_would_be_seen_of_the_others() -> None:
    curves = [(i, "adversarial", 900.0 if i < 5 else 2.0) for i in range(1, 101)]
    shown = _plot(Progress("running", 100, 200, 1.0, curves, None))
    assert shown["iteration"].tolist() == list(range(1, 101)) and shown["value"].max() == pytest.approx(2.2)


@pytest.mark.parametrize(
    ("now", "field", "written", "wanted"),
    [
        (STOPPED, 2000, False, 100_000),
        (STOPPED, 2000, True, 2000),
        (Progress("done", 500, 500, None, [], None), 2000, False, 2000),
    ],
    ids=["its own end", "another end that is asked for", "further than its end"],
)
def test_a_run_goes_on_to_its_end_or_where_somebody_wants_it(now: Progress, field: int, written: bool, wanted: int) -> None:
    asked: list[tuple[str, int]] = []
    runner = SimpleNamespace(progress=lambda name: now, resume=lambda *what: asked.append(what))
    watching(runner).go_on("mine", field, written)
    assert asked == [("mine", wanted)]


def test_of_a_run_that_has_gone_nothing_stays(tmp_path: Path) -> None:
    words, stop, resume, plot, sheet, shown = watching(Runner(tmp_path, tmp_path)).show("mine", ("mine", 36, "sheet.png"))
    assert words == "<p>mine is no longer there.</p>" and shown == ("", -1, "")
    assert (stop["interactive"], resume["interactive"], plot, sheet) == (False, False, None, None)
    assert watching(Runner(tmp_path, tmp_path)).show(None, shown)[0] == "<p>No run yet.</p>"


def test_the_run_that_is_on_is_the_first_to_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("older", "newer"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    runner = Runner(tmp_path, tmp_path)
    assert watching(runner).refresh(None)["value"] == "newer" and watching(runner).refresh("older")["value"] == "older"
    monkeypatch.setattr(runner, "busy", lambda: "older")
    assert watching(runner).refresh(None)["value"] == "older"


def test_nothing_is_prepared_while_another_run_is_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(tmp_path / "runs", tmp_path / "data")
    monkeypatch.setattr(runner, "busy", lambda: "alpha")
    monkeypatch.setattr(own, "folder", lambda *arguments, **options: pytest.fail("it was prepared"))
    form = cast(Any, SimpleNamespace(runner=runner))
    with pytest.raises(TrainingError, match="'alpha' is being trained"):
        Form._made(form, "beta", str(tmp_path / "a.zip"), True, 80)


def test_what_was_left_out_of_an_upload_or_that_it_has_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    report = own.Report(7, 3, ("cat/1.jpg: no face was found",), "taken for the folder of one domain: cat (11)")
    monkeypatch.setattr(own, "folder", lambda *arguments, **options: report)
    monkeypatch.setattr(gr, "Info", lambda words, **_: told.append(words))
    form, archive = cast(Any, SimpleNamespace(runner=Runner(tmp_path / "runs", tmp_path))), tmp_path / "a.zip"
    with pytest.raises(ValueError, match="this zip file has been deleted from the page meanwhile"):
        Form._made(form, "beta", str(archive), True, 80)
    archive.touch()
    Form._made(form, "beta", str(archive), True, 80)
    said = f"{report.taken_for}: 10 pictures, 1 left out, such as cat/1.jpg: no face was found"
    assert told == [said]
    report = dataclasses.replace(report, remarks=("1 picture of val is in train, too", "another"))
    Form._made(form, "beta", str(archive), True, 80)
    assert told[1:] == [f"{said}; 1 picture of val is in train, too; another"]
