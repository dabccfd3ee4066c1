"""Data sets of Hugging Face, by name or as folders, read by its package `datasets` where that is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from train.data import layouts, tables

WRITTEN = ("dataset_dict.json", "dataset_info.json", "state.json")  # by `save_to_disk`


class DataSetError(ValueError):
    """A data set that cannot be had or has no pictures with labels; the sentence says what to do."""


def is_data_set(folder: Path) -> bool:
    """Whether a folder was written by `datasets`, or holds Parquet files as the Hub does."""
    return any((folder / name).is_file() for name in WRITTEN) or any(folder.glob("*.parquet")) or any(folder.glob("data/*.parquet"))


def opened(source: str, label: str = "") -> tuple[layouts.Layout, Callable[[str], bytes]]:
    """How the pictures of a data set lie in domains and splits, and what gives a picture's file. source: `hf:user/name`, where
    wished with `@revision`, or a folder. label: the column of the domains, by default one of class labels."""
    try:
        import datasets
    except ImportError:
        raise DataSetError(f"{source} is a data set of Hugging Face; run `pip install datasets`, and call this again") from None
    name, _, revision = source.removeprefix("hf:").partition("@")
    try:
        if source.startswith("hf:"):
            loaded = datasets.load_dataset(name, revision=revision or None)
        elif any(Path(source, file).is_file() for file in WRITTEN):
            loaded = datasets.load_from_disk(source)
        else:
            loaded = datasets.load_dataset(source)
    # It passes on whatever its file systems and builders raise.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise DataSetError(f"{source} cannot be read as a data set ({reason.rstrip('.')}); check name and network") from None
    splits: dict[str, Any] = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    features = next(iter(splits.values())).features
    picture = next((c for c, kind in features.items() if isinstance(kind, datasets.Image)), None)
    wanted = label or next((c for c, kind in features.items() if isinstance(kind, datasets.ClassLabel)), "")
    wanted = wanted or next((c for c in features if c.lower() in tables.LABELS), "")
    if picture is None or wanted not in features:
        raise DataSetError(
            f"{source} has the columns {', '.join(features)}; it needs one of pictures, and one of labels, which --label names"
        )
    kind = features[wanted]
    found, rows = [], {}
    for split, part in splits.items():
        part = part.cast_column(picture, datasets.Image(decode=False))
        for i, value in enumerate(part[wanted]):
            text = kind.int2str(value) if isinstance(kind, datasets.ClassLabel) and value is not None and value >= 0 else value
            key = f"{split}/{i:07d}"
            rows[key] = part, i
            found.append((key, "" if text is None else str(text), split))

    def read(key: str) -> bytes:
        part, i = rows[key]
        value = part[i][picture]
        return value["bytes"] if value["bytes"] is not None else Path(value["path"]).read_bytes()

    return layouts.labelled(found, f"a data set of Hugging Face (columns {picture} and {wanted})"), read
