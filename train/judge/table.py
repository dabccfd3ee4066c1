"""What `evaluate` found, as one number and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from train.judge.distances import mean
from train.judge.spots import LIMIT
from train.judge.translations import KINDS


def score(result: Mapping[str, Any]) -> float:
    """One number to choose a checkpoint by, lower is better: the mean ratio of sliced Wasserstein distances over scales and kinds,
    over the accuracy, over the ratio of diversity and, where it was measured, over the share in which the person is found, as sharp
    pictures of one face, of the wrong domain or of somebody else are no success. A ratio that there is none of counts as 1."""
    parts = []
    for kind in KINDS:
        row = result[kind]
        diversity, apart = row.get("diversity_ratio"), list(row["swd_ratio"].values())
        good = max(row["accuracy"], 1e-3) * (1.0 if diversity is None else min(1.0, max(diversity, 1e-3)))
        if found := [each["top1"] for each in row.get("likeness", {}).values()]:
            good *= max(float(np.mean(found)), 1e-2)
        parts.append((float(np.mean(apart)) if apart else 1.0) / good)
    return float(np.mean(parts))


def table(*results: Mapping[str, Any]) -> str:
    """The results of one model or more as a Markdown table, side by side; what is said of real pictures is the first
    one's, where it says it."""
    heads = [f"{kind}, {result['model']}" if len(results) > 1 else kind for result in results for kind in KINDS]
    columns = [_column(result[kind]) for result in results for kind in KINDS]
    # A larger model has levels that the first one lacks.
    columns.append({name: cell for result in reversed(results) for name, cell in _real(result).items()})
    names = dict.fromkeys(name for column in sorted(columns, key=len, reverse=True) for name in column)
    lines = [_header(result) for result in results]
    lines += ["", f"|  | {' | '.join([*heads, 'real pictures'])} |", f"| --- |{' ---: |' * len(columns)}"]
    lines += [f"| {name} | {' | '.join(column.get(name, '') for column in columns)} |" for name in names]
    lines += [f"\n{note}" for note in dict.fromkeys(note for result in results for note in result["notes"])]
    return "\n".join(lines)


def _header(result: Mapping[str, Any]) -> str:
    sources = ", ".join(f"{count} {name}" for name, count in result["sources"].items())
    into = "each domain" if "photographs" in result["sources"] else "other domains"
    return f"{result['model']}: {result['outputs']} outputs of each source ({sources}) in {into}"


def _column(found: Mapping[str, Any]) -> dict[str, str]:
    """The cells of one kind of guidance, by row."""
    rows = {"domain accuracy": _percent(found["accuracy"])}
    rows |= {f"domain accuracy, {domain}": _percent(value) for domain, value in found["accuracy_by_domain"].items()}
    if "diversity" in found:
        for name, words in (("diversity", "classifier features"), ("diversity_pixels", "pixels")):
            rows[f"diversity, {words}"] = _plain(found[name])
            rows[f"diversity, {words}, over real"] = _percent(found[f"{name}_ratio"])
    rows |= {f"sliced Wasserstein, {side} px, over real halves": f"{value:.2f}x" for side, value in found["swd_ratio"].items()}
    if "cycle_l1" in found:
        rows["cycle L1"] = _plain(found["cycle_l1"])
    if "landmark_error" in found:
        rows["landmark error, masks on"] = _percent(found["landmark_error"])
        rows["landmark error, masks off"] = _percent(found["landmark_error_no_masks"])
    if "likeness" in found:
        rows |= _likeness(found["likeness"])
        rows |= {f"standing spot, {domain}, deviations": _spot(spot) for domain, spot in found["spots"].items()}
    for name in ("fid", "lpips"):
        rows[name.upper()] = _plain(found[name]) or "not measured"
    return rows


def _likeness(by_domain: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    if not by_domain:
        return {"person found": "not measured"}

    def over(name: str) -> str:
        return _percent(mean([each[name] for each in by_domain.values()]))

    rows = {"person found": over("top1")}
    rows |= {f"person found, {domain}": _percent(each["top1"]) for domain, each in by_domain.items()}
    rows["person found, a style for each"], rows["person found, one style for all"] = over("top1_own"), over("top1_shared")
    rows["person among the first five"] = over("top5")
    rows["spread of faces, over that of photographs"] = over("spread")
    for group in next(iter(by_domain.values()))["by_group"]:
        rows[f"person found, {group}"] = _percent(mean([each["by_group"][group] for each in by_domain.values()]))
    return rows


def _real(result: Mapping[str, Any]) -> dict[str, str]:
    """The cells of real pictures, and of chance."""
    real = result["real"]
    rows = {"domain accuracy": _percent(real["accuracy"])}
    rows |= {f"domain accuracy, {domain}": _percent(value) for domain, value in real["accuracy_by_domain"].items()}
    rows |= {"diversity, classifier features": _plain(real["diversity"]), "diversity, pixels": _plain(real["diversity_pixels"])}
    rows |= {f"sliced Wasserstein, {side} px, over real halves": "1.00x" for side in real["swd"]}
    if count := result["sources"].get("photographs"):
        rows["person found"] = f"chance {_percent(1 / count)}"
        rows["person among the first five"] = f"chance {_percent(min(1.0, 5 / count))}"
    return rows


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _spot(found: Mapping[str, float]) -> str:
    """Its deviations and, where it counts as one, its place from the left and the top, in hundredths of the side."""
    if found["deviations"] <= LIMIT:
        return f"{found['deviations']:.1f}"
    return f"{found['deviations']:.1f} at {100 * found['x']:.0f}, {100 * found['y']:.0f}"
