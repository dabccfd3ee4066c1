"""What of people's files is a picture of which domain and split: one rule for folders, archives and tables of labels.

Told apart are, in this order: a table with a column of files and one of labels; `train/<domain>/` and `val/<domain>/` (or test);
the `trainA/ trainB/ testA/ testB/` of two domains; a folder for each domain, at whatever depth the pictures lie in it; one flat
folder. Folders around all of that do not matter. Train and val are never domains, and no two folders become one domain.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from train.data import SUFFIXES

# What programs put into folders and archives for themselves, besides all that begins with a dot.
PROGRAMS = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found", "system volume information", "__pycache__"}
PROGRAM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
SPLITS = {
    **dict.fromkeys(("train", "training", "train_set"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing", "test_set"), "test"),
}
OF_TWO = re.compile(r"(train|val|valid|test)[_-]?([A-Za-z])", re.IGNORECASE)
TABLES = (".csv", ".tsv", ".jsonl")
FILES = (
    *("file", "filename", "file_name", "image", "image_id", "image_path", "img", "path", "filepath", "file_path", "picture", "id"),
)
LABELS = ("label", "labels", "class", "class_name", "category", "domain", "target", "breed", "species", "style")
SPLIT_COLUMNS = ("split", "set", "subset", "partition")


class LayoutError(ValueError):
    """Files in which no domains can be found; the sentence says how to lay them out."""


@dataclass(frozen=True)
class Found:
    """A picture. name: its path in the source. split: train, val, or empty where nobody says."""

    name: str
    domain: str
    split: str


@dataclass(frozen=True)
class Layout:
    """words: what the source was taken for. left: a sentence on each file or folder that was left out."""

    words: str
    pictures: tuple[Found, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        counts = Counter(found.domain for found in self.pictures)
        return f"taken for {self.words}: {', '.join(f'{domain} ({count})' for domain, count in sorted(counts.items()))}"


def find(
    names: Iterable[str],
    title: str,
    read: Callable[[str], str],
    folders: Collection[str] = (),
    table: str = "",
    label: str = "",
) -> Layout:
    """What lies in a source.

    names: the paths of its files, with slashes. title: the source's own name, for the one domain of a flat folder. read: gives the
    text of a file. folders: paths of its folders, of which empty ones are told. table: that of labels, where it is known. label:
    the column with the labels. LayoutError where there are no pictures in it.
    """
    pictures, others, left = [], [], []
    programs: Counter[str] = Counter()
    for name in sorted(names):
        if mark := _program(name):
            programs[mark] += 1
        elif PurePosixPath(name).suffix.lower() in SUFFIXES:
            pictures.append(name)
        else:
            others.append(name)
    left += [f"{mark}: a program's own ({count} file{'s' * (count > 1)})" for mark, count in sorted(programs.items())]
    tables = [table] if table else [name for name in others if name.lower().endswith(TABLES)]
    if not pictures:
        raise LayoutError(f"{title} has no pictures; make a folder for each domain, with its pictures in it")
    for name in tables:
        if found := _by_table(name, pictures, read, label, needed=bool(table or label)):
            words, chosen, problems = found
            return Layout(words, chosen, (*left, *_no_pictures(other for other in others if other != name), *problems))
    words, chosen, problems = _by_folders(pictures, title, folders)
    return Layout(words, chosen, (*left, *_no_pictures(others), *problems))


def labelled(pictures: Iterable[tuple[str, str, str]], words: str) -> Layout:
    """The layout of pictures whose label and split are known: rows of name, label and split; a split of another name is none."""
    rows = [(name, label, SPLITS.get(split.strip().lower(), "")) for name, label, split in pictures]
    left = [f"{name}: has no label" for name, label, _ in rows if not label]
    held = {split for _, label, split in rows if label and split}
    keep, aside = _usable({split: split for split in held})
    domains = _names(label for _, label, _ in rows if label)
    found = [
        Found(name, domains[label], keep.get(split, "") if len(held) > 1 else "")
        for name, label, split in rows
        if label and (not split or split in keep)
    ]
    return Layout(words, tuple(found), (*left, *aside))


def _no_pictures(others: Iterable[str]) -> list[str]:
    return [f"{name}: is no picture" for name in others]


def _program(name: str) -> str:
    """The first part of a path that a program made for itself, with what leads to it; empty where there is none."""
    parts = PurePosixPath(name).parts
    for i, part in enumerate(parts):
        inner = i < len(parts) - 1
        if part.startswith(".") or part.lower() in (PROGRAMS if inner else PROGRAM_FILES):
            return "/".join(parts[: i + 1])
    return ""


def _by_folders(pictures: Sequence[str], title: str, folders: Collection[str]) -> tuple[str, tuple[Found, ...], list[str]]:
    paths = {name: PurePosixPath(name).parts for name in pictures}
    level = _level(list(paths.values()))
    inside = {name: parts[level:] for name, parts in paths.items()}
    counts = Counter(parts[0] for parts in inside.values() if len(parts) > 1)
    wrapper = "/".join(next(iter(paths.values()))[:level])
    if not counts:
        (only,) = _names([wrapper.rpartition("/")[2] or title]).values()
        return "one flat folder", tuple(Found(name, only, "") for name in paths), []
    stray = [f"{name}: lies in no domain's folder" for name, parts in inside.items() if len(parts) == 1]
    deep = {name: parts for name, parts in inside.items() if len(parts) > 1}
    splits = {top: SPLITS[top.lower()] for top in counts if top.lower() in SPLITS}
    if splits and (len(splits) == len(counts) or len(set(splits.values())) > 1):
        return _by_splits(deep, splits, title, stray)
    of_two = {top: match for top in counts if (match := OF_TWO.fullmatch(top))}
    if len(of_two) == len(counts) and len({match[2] for match in of_two.values()}) > 1:
        split_of = {top: SPLITS[match[1].lower()] for top, match in of_two.items()}
        keep, aside = _usable(split_of)
        domain = _names(match[2] for match in of_two.values())
        chosen = [Found(n, domain[of_two[p[0]][2]], keep[p[0]]) for n, p in deep.items() if p[0] in keep]
        return "pairs of folders, trainA and so on", tuple(chosen), [*stray, *aside]
    domain = _names(counts)
    beside = sorted(f for f in folders if str(PurePosixPath(f).parent) == (wrapper or ".") and not _program(f))
    nothing = [f"{f}: has no pictures" for f in beside if PurePosixPath(f).name not in counts]
    words = "a folder for each domain" if len(counts) > 1 else "the folder of one domain"
    return words, tuple(Found(name, domain[parts[0]], "") for name, parts in deep.items()), [*stray, *nothing]


def _level(paths: Sequence[tuple[str, ...]]) -> int:
    """How many folders lie around all others."""
    level = 0
    while True:
        tops = {parts[level] for parts in paths if len(parts) > level + 1}
        if len(tops) != 1 or any(len(parts) <= level + 1 for parts in paths) or next(iter(tops)).lower() in SPLITS:
            return level
        below = Counter(parts[level + 1] if len(parts) > level + 2 else "" for parts in paths)
        # Pictures of its own make it a domain, unless they are strays beside the domains' folders.
        if not set(below) - {""} or (below[""] and (len(below) < 3 or 2 * below[""] > len(paths))):
            return level
        level += 1


def _by_splits(
    deep: dict[str, tuple[str, ...]], splits: dict[str, str], title: str, stray: list[str]
) -> tuple[str, tuple[Found, ...], list[str]]:
    keep, aside = _usable(splits)
    beside = Counter(parts[0] for parts in deep.values() if parts[0] not in splits)
    aside += [f"{top}: left out, as it lies beside {', '.join(sorted(splits))} ({n} pictures)" for top, n in sorted(beside.items())]
    mine = {name: parts for name, parts in deep.items() if parts[0] in keep}
    words = f"a data folder with {', '.join(sorted(keep))}" + (", from which val is drawn" if len(set(keep.values())) == 1 else "")
    if all(len(parts) == 2 for parts in mine.values()):
        domain = next(iter(_names([title]).values()))
        found = tuple(Found(name, domain, keep[parts[0]]) for name, parts in mine.items())
        return f"{words}, of one domain", found, [*stray, *aside]
    stray += [f"{name}: lies in no domain's folder" for name, parts in mine.items() if len(parts) == 2]
    mine = {name: parts for name, parts in mine.items() if len(parts) > 2}
    domains = _names(parts[1] for parts in mine.values())
    if len(set(keep.values())) == 1:
        keep = dict.fromkeys(keep, "")
    return words, tuple(Found(name, domains[parts[1]], keep[parts[0]]) for name, parts in mine.items()), [*stray, *aside]


def _usable(split_of: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """What stands for train and val: test stands for val where there is none, and is left out where there is."""
    held = set(split_of.values())
    if held == {"train", "val", "test"} or held == {"val", "test"}:
        aside = [f"{top}: left out, as val is there" for top, split in split_of.items() if split == "test"]
        return {top: split for top, split in split_of.items() if split != "test"}, aside
    return {top: "val" if split == "test" else split for top, split in split_of.items()}, []


def _names(labels: Iterable[str]) -> dict[str, str]:
    """Folder names for domains, different ones even where capitals make no difference."""
    found: dict[str, str] = {}
    for label in sorted(set(labels)):
        name = plain = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", label).strip(" .")[:60] or "_"
        for count in range(2, len(found) + 3):
            if name.casefold() not in {other.casefold() for other in found.values()}:
                break
            name = f"{plain} {count}"
        found[label] = name
    return found


def _by_table(
    table: str, pictures: Sequence[str], read: Callable[[str], str], label: str, needed: bool
) -> tuple[str, tuple[Found, ...], list[str]] | None:
    """Pictures by a table with a column of files and one of labels; None where it is another table, unless it is `needed`."""
    rows = _rows(table, read(table))
    columns = list(rows[0]) if rows else []
    places = _Places(table, pictures)
    lower = {str(column).strip().lower(): column for column in columns}
    file = next((lower[c] for c in FILES if c in lower), None) or next((c for c in columns if places.find(rows[0][c])), None)
    wanted = lower.get(label.lower()) if label else next((lower[c] for c in LABELS if c in lower), None)
    if wanted is None and not label and len(columns) == 2:
        wanted = next(c for c in columns if c != file)
    if file is None or wanted is None or not any(places.find(row[file]) for row in rows):
        if not needed:
            return None
        raise LayoutError(
            f"{table} is no table of labels: its columns are {', '.join(map(str, columns)) or 'none'}; it needs one of files that "
            "are there, and one of labels, which --label names"
        )
    split = next((lower[c] for c in SPLIT_COLUMNS if c in lower), None)
    chosen: dict[str, tuple[str, str]] = {}
    problems = []
    for line, row in enumerate(rows, 2):
        name, value = places.find(row[file]), str(row[wanted] or "").strip()
        if name is None or not value:
            problems.append(f"{table}, line {line}: " + ("has no label" if name else f"there is no picture {row[file]}"))
        elif name in chosen and chosen[name][0] != value:
            problems.append(f"{table}, line {line}: {name} has another label already; the first is taken")
        else:
            chosen[name] = value, str(row[split] or "") if split else ""
    problems += [f"{name}: is not in {table}" for name in pictures if name not in chosen]
    words = f"pictures with a table of labels ({table}, columns {file} and {wanted})"
    layout = labelled([(name, *facts) for name, facts in chosen.items()], words)
    return words, layout.pictures, [*problems, *layout.left]


def _rows(table: str, text: str) -> list[dict[str, str]]:
    if table.lower().endswith(".jsonl"):
        try:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            return []
        return [row for row in rows if isinstance(row, dict)]
    delimiter = "\t" if table.lower().endswith(".tsv") else ","
    first = text.partition("\n")[0]
    if delimiter == "," and first.count(";") > first.count(","):
        delimiter = ";"
    return [{k: v or "" for k, v in row.items() if k is not None} for row in csv.DictReader(text.splitlines(), delimiter=delimiter)]


class _Places:
    """Finds the picture that a table means: by its path, from the table's folder or the source's, or by its name if one has it."""

    def __init__(self, table: str, pictures: Sequence[str]) -> None:
        self.folder = str(PurePosixPath(table).parent)
        self.pictures = set(pictures)
        self.by_name: dict[str, list[str]] = defaultdict(list)
        for name in pictures:
            path = PurePosixPath(name)
            for key in {path.name, path.stem}:
                self.by_name[key].append(name)

    def find(self, value: object) -> str | None:
        text = str(value or "").strip().replace("\\", "/")
        for name in (str(PurePosixPath(self.folder, text)), text):
            if name in self.pictures:
                return name
        found = self.by_name.get(PurePosixPath(text).name, []) if text else []
        return found[0] if len(found) == 1 else None
