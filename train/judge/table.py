"""What `evaluate` found, as one number and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from train.judge.evaluate import KINDS


def score(result: Mapping[str, Any]) -> float:
    """One number to choose a checkpoint by, lower is better: the mean ratio of sliced Wasserstein distances over scales and kinds,
    over the accuracy and over the ratio of diversity, as sharp pictures of one face or of the wrong domain are no success."""
    parts = []
    for kind in KINDS:
        row = result[kind]
        good = max(row["accuracy"], 1e-3) * min(1.0, max(row.get("diversity_ratio", 1.0), 1e-3))
        parts.append(float(np.mean(list(row["swd_ratio"].values()))) / good)
    return float(np.mean(parts))


def table(result: Mapping[str, Any]) -> str:
    """The result as a Markdown table."""

    def percent(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f} %"

    def plain(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    def times(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}x"

    columns = [result[kind] for kind in KINDS] + [result["real"]]
    rows = [("domain accuracy", [percent(c["accuracy"]) for c in columns])]
    for d in result["domains"]:
        rows.append((f"domain accuracy, {d}", [percent(c["accuracy_by_domain"][d]) for c in columns]))
    for name, words in (("diversity", "classifier features"), ("diversity_pixels", "pixels")):
        rows.append((f"diversity, {words}", [plain(c.get(name)) for c in columns]))
        rows.append((f"diversity, {words}, over real", [percent(c.get(f"{name}_ratio")) for c in columns[:2]] + [""]))
    for side in result["latent"]["swd"]:
        ratios = [times(c["swd_ratio"][side]) for c in columns[:2]]
        rows.append((f"sliced Wasserstein, {side} px, over real halves", [*ratios, "1.00x"]))
    rows.append(("cycle L1", [plain(c.get("cycle_l1")) for c in columns]))
    for name, words in (("landmark_error", "masks on"), ("landmark_error_no_masks", "masks off")):
        rows.append((f"landmark error, {words}", [percent(c.get(name)) for c in columns]))
    for name in ("fid", "lpips"):
        rows.append((name.upper(), [plain(c.get(name)) or ("not measured" if c is not columns[2] else "") for c in columns]))
    sources = ", ".join(f"{count} {d}" for d, count in result["sources"].items())
    head = f"{result['model']}: {result['outputs']} outputs of each source ({sources}) in each other domain\n"
    cells = [("", ["latent", "reference", "real pictures"]), ("---", ["---:"] * 3), *rows]
    lines = [head, *(f"| {name} | {' | '.join(values)} |" for name, values in cells), *(f"\n{note}" for note in result["notes"])]
    return "\n".join(lines)
