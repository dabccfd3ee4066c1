"""Frames of HDR clips, as phones film them, in sRGB: taken as they are, they would look pale and grey."""

from __future__ import annotations

import functools

import av
import numpy as np
from av.video.reformatter import ColorTrc
from PIL import Image, ImageFilter

PQ, HLG = int(ColorTrc.SMPTE2084), int(ColorTrc.ARIB_STD_B67)
SIDE = 65  # of the table, with colours between taken linearly
WHITE = 203.0  # cd/m2 of what is white on paper, in both (ITU-R BT.2408)
PEAK = 1000.0  # cd/m2 of the display that HLG is made for
KNEE = 0.8  # from which share of white on what is brighter is pressed together
# Linear light of BT.2020 primaries to those of sRGB.
PRIMARIES = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])


def in_srgb(picture: Image.Image, frame: av.VideoFrame) -> Image.Image:
    """The picture of a frame in sRGB, where that says that it is PQ or HLG; any other as it is."""
    curve = int(frame.color_trc or 0)
    return picture.filter(_table(curve)) if curve in (PQ, HLG) else picture


@functools.cache
def _table(curve: int) -> ImageFilter.Color3DLUT:
    steps = np.linspace(0, 1, SIDE)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    light = (_light_pq if curve == PQ else _light_hlg)(np.stack([red, green, blue], -1)) / WHITE
    light = np.maximum(light @ PRIMARIES.T, 0)
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
