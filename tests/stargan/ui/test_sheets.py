"""What a grid is made of, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from material import portrait

from stargan.model import build
from stargan.networks import ModelConfig
from stargan.ui.grid import Grid, Order, painter
from stargan.ui.studio import REFERENCE, SourceChoice, Studio


@pytest.fixture(scope="module")
def library() -> Any:
    shape = ModelConfig(image_size=64, domains=("man",), w_hpf=0, base_channels=4, max_channels=8, hidden_dim=16)
    studio = Studio(build(shape), compiled=False)
    return SimpleNamespace(get=lambda name: studio)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    portrait(1).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no picture")
    return Order("model", [SourceChoice(str(tmp_path / "good.png"), aligned=False)], "man", count=2, aligned=False)


def test_an_empty_seed_is_missing(library: Any, order: Order) -> None:
    with pytest.raises(ValueError, match="there is no first seed yet; give a whole number, 0 or above"):
        next(painter(library)(replace(order, seed=None)))
    for seed in (-1, 1.5):
        with pytest.raises(ValueError, match=f"the seed is {seed}; it has to be a whole number"):
            next(painter(library)(replace(order, seed=seed)))
    assert next(painter(library)(order))[1] == ["1 of 1 sources"]


def test_the_reference_is_named_that_cannot_be_used(library: Any, order: Order, tmp_path: Path) -> None:
    references = [str(tmp_path / name) for name in ("good.png", "bad.png")]
    with pytest.raises(ValueError, match="reference 2 cannot be used: .* is not a picture that can be read"):
        next(painter(library)(replace(order, style_from=REFERENCE, references=references)))


VALUES = {"model": "m", "domain": "man", "style_from": "seed", "seed": 0, "psi": 1.0, "masks": True, "likeness": 1.0}
VALUES["aligned"] = True


@pytest.mark.parametrize("first", [SourceChoice("a.png", face=2), SourceChoice("a.png", whole=True)], ids=["face", "result"])
def test_the_first_source_is_that_above_the_tabs(first: SourceChoice) -> None:
    orders: list[Order] = []

    def sheets(order: Order) -> Any:
        orders.append(order)
        return iter([])

    tab: Any = SimpleNamespace(source=SimpleNamespace(read=lambda values: first), sheets=sheets)
    others: Any = [{"path": "b.png", "meta": {"_type": "gradio.FileData"}}]
    assert list(Grid.draw(tab, others, others, 5, **VALUES)) == []
    assert orders[0].sources == [first, SourceChoice("b.png")] and orders[0].aligned, "others are aligned as ever"


def test_it_is_shown_as_text_which_sources_were_left_out() -> None:
    source = SimpleNamespace(read=lambda values: SourceChoice("a.png"))
    tab: Any = SimpleNamespace(source=source, sheets=lambda order: iter([("sheet", ["1 of 2 sources", "Left out: <b>."])]))
    (_, said), *_ = Grid.draw(tab, None, None, 5, lambda *at, **unit: None, **VALUES)  # type: ignore[arg-type]
    assert said == "1 of 2 sources  \nLeft out: &#60;b&#62;."
