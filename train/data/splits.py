"""Train, val and test by the names that people give them."""

from __future__ import annotations

import re

WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
# What says no more than that pictures lie there.
PLAIN = {"set", "sets", "data", "dataset", "image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "split"}
PLAIN |= {"folder", "files", "seg", "raw", "cropped", "aligned", "part", "thumbnail", "thumbnails", "thumbs"}
SIZE = re.compile(r"(\d+)x\d+")  # images1024x1024
TOGETHER = re.compile(r"([a-z]+?)(?:set|data|images?)")


def split_of(name: str) -> str:
    """train, val or test, where a folder, table or value is called so (`training_set`, `val2017`, `seg_test`), else empty."""
    words = [word for word in _words(name) if word not in PLAIN]
    if len(words) != 1:
        return ""
    match = TOGETHER.fullmatch(words[0])
    return WORDS.get(words[0]) or (WORDS.get(match[1], "") if match else "")


def is_plain(name: str) -> bool:
    """Whether a folder's name says nothing about what its pictures show."""
    return all(word in PLAIN for word in _words(name))


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", SIZE.sub(" ", name.lower()))


def size_of(name: str) -> int:
    """The width in px by which a folder is called that says nothing else of its pictures (`images1024x1024`), 0 where it is not."""
    match = SIZE.search(name.lower())
    return int(match[1]) if match and is_plain(name) else 0


def usable(split_of: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """What stands for train and val, and sentences on what is left out: test stands for val where there is none, and is left out
    where there is. Of one split alone val is drawn: it is empty then."""
    held, aside = set(split_of.values()), []
    if {"val", "test"} <= held:
        aside = [f"{top}: left out, as val is there" for top, split in split_of.items() if split == "test"]
        split_of = {top: split for top, split in split_of.items() if split != "test"}
    chosen = {top: "val" if split == "test" else split for top, split in split_of.items()}
    return (dict.fromkeys(chosen, "") if len(set(chosen.values())) == 1 else chosen), aside
