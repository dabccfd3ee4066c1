"""HDR pictures and frames of clips, as phones and cameras make them, in sRGB: taken as they are, they would look pale and grey."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageFilter

from stargan.media.spaces import HLG, PQ, PRIMARIES, Places, to_srgb

SIDE = 65  # of the table, with colours between taken linearly
WHITE = 203.0  # cd/m2 of what is white on paper, in both (ITU-R BT.2408)
PEAK = 1000.0  # cd/m2 of the display that HLG is made for
KNEE = 0.8  # from which share of white on what is brighter is pressed together


def in_srgb(picture: Image.Image, curve: int, primaries: int | Places) -> Image.Image:
    """A picture in sRGB, where its curve is PQ or HLG, by its code in ITU-T H.273; any other as it is. primaries: places, or their
    code, that of BT.2020 unless it is known."""
    places = PRIMARIES.get(primaries, PRIMARIES[9]) if isinstance(primaries, int) else primaries
    return picture.filter(_table(curve, places)) if curve in (PQ, HLG) else picture


@functools.cache
def _table(curve: int, primaries: Places) -> ImageFilter.Color3DLUT:
    steps = np.linspace(0, 1, SIDE)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    light = (_light_pq if curve == PQ else _light_hlg)(np.stack([red, green, blue], -1)) / WHITE
    light = np.maximum(light @ to_srgb(primaries).T, 0)
    brightest = np.maximum(light.max(-1, keepdims=True), 1e-9)
    over = np.maximum(brightest - KNEE, 0) / (1 - KNEE)
    pressed = np.where(brightest > KNEE, KNEE + (1 - KNEE) * (1 - np.exp(-over)), brightest)
    light = light * pressed / brightest
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return ImageFilter.Color3DLUT(SIDE, srgb.astype(np.float32).ravel())


def _light_pq(signal: np.ndarray) -> np.ndarray:
    """Signal in [0, 1] -> cd/m2 (SMPTE ST 2084)."""
    power = signal ** (1 / 78.84375)
    return 10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)


def _light_hlg(signal: np.ndarray) -> np.ndarray:
    """Signal in [0, 1] -> cd/m2 (ITU-R BT.2100, its display of PEAK)."""
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    brightness = scene @ np.array([0.2627, 0.6780, 0.0593])
    return PEAK * scene * brightness[..., None] ** 0.2
