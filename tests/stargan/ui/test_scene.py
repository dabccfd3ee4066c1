"""What a link says, and what is made of it."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

import pytest

from stargan.model import build
from stargan.networks import ModelConfig
from stargan.ui.scene import LinkError, Scene
from stargan.ui.studio import MOST_SEED, SEED, Keep, SourceChoice, Studio, StyleChoice


@pytest.fixture(scope="module")
def studio() -> Studio:
    shape = ModelConfig(image_size=64, domains=("man", "woman"), w_hpf=0, base_channels=4, max_channels=8, hidden_dim=16)
    return Studio(build(shape), compiled=False)


SCENE = Scene("small", SourceChoice("photo.jpg"), (StyleChoice("man"),) * 4)


@pytest.mark.parametrize("seed", [0, 2**31 - 1, 99_999_999_999, MOST_SEED])
def test_a_link_keeps_every_seed_that_a_style_can_be_of(studio: Studio, seed: int) -> None:
    corner = StyleChoice("woman", SEED, seed)
    studio.style(corner)
    query = dict(parse_qsl(replace(SCENE, corners=(corner,) * 4).query(studio)))
    assert query["b"] == f"woman:{seed}"
    assert SCENE.linked(studio, query).corners == (corner,) * 4


@pytest.mark.parametrize("seed", [str(MOST_SEED + 1), "1" * 5000])
def test_a_link_to_another_seed_is_refused(studio: Studio, seed: str) -> None:
    with pytest.raises(LinkError, match=f"the link's seed is '.*from 0 to {MOST_SEED}"):
        SCENE.linked(studio, {"a": f"man:{seed}"})


@pytest.mark.parametrize("seed", [-1, 1.5, MOST_SEED + 1, 1e300, float("inf"), float("nan")])
def test_such_a_seed_gives_no_style(studio: Studio, seed: float) -> None:
    with pytest.raises(ValueError, match="the seed is .*; it has to be a whole number from 0 to"):
        studio.style(StyleChoice("man", SEED, seed))


def test_a_link_by_a_model_without_masks_says_nothing_of_them(studio: Studio) -> None:
    link = dict(parse_qsl(replace(SCENE, keep=Keep(False)).query(studio)))
    assert "keep" not in link and SCENE.linked(studio, link).keep.masks


def test_a_style_without_a_number_is_no_style(studio: Studio) -> None:
    with pytest.raises(LinkError, match="the link's style is 'man'; it has to be a domain and a seed, such as man:7"):
        SCENE.linked(studio, {"a": "man"})


def test_masks_are_on_or_off(studio: Studio) -> None:
    assert [SCENE.linked(studio, {"keep": switch}).keep.masks for switch in "01"] == [False, True]
    with pytest.raises(LinkError, match="the link's keep is 'no'; it has to be 0 or 1"):
        SCENE.linked(studio, {"keep": "no"})
