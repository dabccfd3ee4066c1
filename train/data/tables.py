"""Tables of labels as people have them: which picture is of which domain and split."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

from train.data.splits import split_of

TABLES = (".csv", ".tsv", ".jsonl", ".json")
LISTS = (".txt",)  # read where folders say nothing, as most of them are no tables
FILES = (
    *("file", "files", "filename", "file_name", "image", "images", "image_id", "image_path", "image_name", "imagename"),
    *("img", "path", "paths", "filepath", "file_path", "picture", "photo", "name", "id"),
)
LABELS = (
    *("label", "labels", "class", "classes", "class_name", "classname", "category", "domain", "target", "tag", "tags"),
    *("breed", "species", "style"),
)
SPLITS = ("split", "set", "subset", "partition")
# Columns of yes and no: what a yes stands for, and a no.
FLAGS = {
    **dict.fromkeys(("is_valid", "is_val", "is_validation", "valid"), ("val", "train")),
    **dict.fromkeys(("is_test", "test"), ("test", "train")),
    **dict.fromkeys(("is_train", "is_training", "train"), ("train", "val")),
}
YES, NO = {"1", "1.0", "true"}, {"0", "0.0", "-1", "-1.0", "false"}
NUMBERED = {"0": "train", "1": "val", "2": "test"}  # as in CelebA's partition

PAIR = dict.fromkeys(("file", "label"))  # of a dict in JSON
OF_ONE = (".json", ".txt")  # of which some lie beside each picture and say what one program knows of it
SEEN = 50  # rows, by which a column of files is known
SHOWN = 6  # names in a sentence

Row = tuple[str, str, str]  # a picture's name, its label, its split


class TableError(ValueError):
    """A table that was asked for and is not there, or none of labels; the sentence says what is there or what to do."""


@dataclass(frozen=True)
class Labels:
    """words: which tables and columns. rows: those pictures that a table knows, each once; none where there is no table of labels.
    problems: a sentence on each line that has none, on each picture that no table knows, and on each table whose labels are to be
    named. names: of the tables that were read, or that a problem is about."""

    words: str
    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    names: tuple[str, ...]


def find(names: Sequence[str], pictures: Sequence[str], read: Callable[[str], str], label: str, needed: bool) -> Labels:
    """The labels in tables of these names: in the first that is one, and in those with the same columns, such as `val.csv` beside
    `train.csv`. TableError where none of them is a table of labels though one is `needed`."""
    ends = _ends(pictures)
    tables: list[_Table] = []
    columns = ""
    unnamed: dict[str, str] = {}
    for name in names:
        rows = _rows(name, read(name))
        columns = ", ".join(map(str, next(iter(rows), {}))) if name == names[0] else columns
        table = _table(name, rows, _Places(name, ends), label)
        if isinstance(table, str):
            unnamed |= {name: f"{name}: {table}"} if table else {}
        elif not tables or list(table.rows[0]) == list(tables[0].rows[0]):
            tables.append(table)
    if not tables and needed:
        raise TableError(_none(names, columns, label))
    if not tables:
        return Labels("", (), tuple(unnamed.values()), tuple(unnamed))
    called = {table.name: next(filter(None, map(split_of, _parts(table.name))), "") for table in tables}
    chosen: dict[str, Row] = {}
    problems: list[str] = []
    for table in tables:
        table.collect(chosen, problems, called[table.name] if len(set(called.values())) > 1 else "")
    held = [table.name for table in tables]
    problems += [f"{name}: is not in {_listed(held, ' or ')}" for name in pictures if name not in chosen]
    words = f"a table of labels ({held[0]}" if len(held) == 1 else f"tables of labels ({_listed(held, ' and ')}"
    words = f"pictures with {words}, {tables[0].columns})"
    return Labels(words, tuple(chosen.values()), (*unnamed.values(), *problems), (*held, *unnamed))


def _listed(names: Sequence[str], mark: str) -> str:
    return mark.join([*names[:SHOWN], *([f"{len(names) - SHOWN} more"] if len(names) > SHOWN else [])])


def _none(names: Sequence[str], columns: str, label: str) -> str:
    """Why there is no table of labels, and what to do."""
    if not names:
        return (
            f"--label {label} names a column of a table, and there is none beside the pictures; put a .csv, .tsv, .jsonl or "
            f".json there, with a column of files and {label}, or leave --label out"
        )
    return (
        f"{names[0]} is no table of labels: its columns are {columns or 'none'}; it needs one of files that are there, and one of "
        "labels, which --label names"
    )


def decoded(content: bytes) -> str:
    """The text of a table, as programs write it: UTF-8, UTF-16 with a mark, or else the Western code page."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _parts(name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    return (path.stem, *reversed(path.parent.parts))


@dataclass(frozen=True)
class _Table:
    """first: the number of its first line of values. label and split: of a row."""

    name: str
    rows: list[dict[str, str]]
    first: int
    file: str
    columns: str
    label: Callable[[dict[str, str]], str]
    split: Callable[[dict[str, str]], str]
    places: _Places

    def collect(self, chosen: dict[str, Row], problems: list[str], split: str) -> None:
        """Adds its pictures to the chosen ones; split: of those of which no column says it."""
        for line, row in enumerate(self.rows, self.first):
            name, value = self.places.find(row[self.file]), self.label(row)
            if name is None or not value:
                what = "has no label" if name else f"there is no picture {row[self.file]}"
                problems.append(f"{self.name}, line {line}: {what}")
            elif name in chosen and chosen[name][1] != value:
                problems.append(f"{self.name}, line {line}: {name} has another label already; the first is taken")
            else:
                chosen.setdefault(name, (name, value, self.split(row) or split))


def _table(name: str, rows: list[dict[str, str]], places: _Places, label: str) -> _Table | str:
    """The columns of a table of labels, or why it is none though it knows the pictures; an empty text where it does not."""
    if not rows:
        return ""
    first = 2
    if any(places.find(column) for column in rows[0]):  # without a head
        values = [{str(i): value for i, value in enumerate(row, 1)} for row in [rows[0]]]
        rows = [*values, *({str(i): v for i, v in enumerate(row.values(), 1)} for row in rows)]
        first = 1
    columns = list(rows[0])
    lower = {str(column).strip().lower(): column for column in columns}
    named = [lower[c] for c in FILES if c in lower]
    # What is called a name or an id need not be one of a file.
    file = next((c for c in [*named, *columns] if any(places.find(row.get(c)) for row in rows[:SEEN])), None)
    file = file or next((c for c in columns if any(places.find(row.get(c)) for row in rows)), None)
    kind = PurePosixPath(name).suffix.lower()
    if file is None or (kind in OF_ONE and len({places.find(row.get(file)) for row in rows} - {None}) < 2):
        return ""
    if rows[0].keys() == PAIR.keys() and kind == ".json" and file != "file":  # {"cover": "1.png", ...}
        return ""
    split_column, split = _splits(lower, rows)
    candidates = [column for column in columns if column not in (file, split_column)]
    found = _labels(candidates, lower, rows, label)
    if found is None:
        which = "" if label or not candidates else _listed(candidates, ", ")
        return which and f"has no column that is known to be of labels; --label names the one to take for domains: {which}"
    wanted, label_of = found
    # In it, a number stands for a split, as in CelebA's list_eval_partition.txt.
    if not label and re.search("partition|split", name.lower()) and {label_of(row) for row in rows} <= NUMBERED.keys():
        return ""
    rows = [{c: row.get(c, "") for c in columns} for row in rows]
    return _Table(name, rows, first, file, f"columns {file} and {wanted}", label_of, split, places)


def _labels(
    candidates: Sequence[str], lower: dict[str, str], rows: Sequence[dict[str, str]], label: str
) -> tuple[str, Callable[[dict[str, str]], str]] | None:
    """The column of labels, in words, and what gives a row's label."""
    wanted = lower.get(label.strip().lower()) if label else next((lower[c] for c in LABELS if lower.get(c) in candidates), None)
    if wanted is None and label:
        return None
    if wanted is None and len(candidates) == 1:
        wanted = candidates[0]
    if wanted is not None:
        column = wanted
        values = {row.get(column, "").strip().lower() for row in rows} - {""}
        attribute = column.strip().lower() not in LABELS and not column.isdigit()
        if attribute and len(values) == 2 and values & YES and values <= YES | NO:  # smiling, or not
            words = {**dict.fromkeys(YES, column.strip()), **dict.fromkeys(NO, f"not {column.strip()}"), "": ""}
            return column, lambda row: words[row.get(column, "").strip().lower()]
        return column, lambda row: row.get(column, "").strip()
    marks = {c: [row.get(c, "").strip().lower() for row in rows] for c in candidates}
    one_of = {c: marks[c] for c in candidates if set(marks[c]) <= YES | NO}
    if len(one_of) > 1 and all(sum(mark in YES for mark in row) == 1 for row in zip(*one_of.values(), strict=True)):
        names = list(one_of)
        return " or ".join(names), lambda row: next(c for c in names if row.get(c, "").strip().lower() in YES)
    return None


def _splits(lower: dict[str, str], rows: Sequence[dict[str, str]]) -> tuple[str | None, Callable[[dict[str, str]], str]]:
    """The column of splits, if there is one, and what gives a row's split; empty where it is none."""
    if column := next((lower[c] for c in SPLITS if c in lower), None):
        values = {row.get(column, "").strip() for row in rows} - {""}
        if values <= NUMBERED.keys() and "0" in values and len(values) > 1:
            return column, lambda row: NUMBERED.get(row.get(column, "").strip(), "")
        return column, lambda row: split_of(row.get(column, "")) or row.get(column, "").strip()
    for name in FLAGS:
        if (flag := lower.get(name)) and {row.get(flag, "").strip().lower() for row in rows} <= YES | NO:
            return flag, functools.partial(_flagged, flag, *FLAGS[name])
    return None, lambda row: ""


def _flagged(column: str, yes: str, no: str, row: dict[str, str]) -> str:
    return yes if row.get(column, "").strip().lower() in YES else no


def _rows(table: str, text: str) -> list[dict[str, str]]:
    """The rows of a table by column; empty where it is none."""
    kind = PurePosixPath(table).suffix.lower()
    if kind in (".jsonl", ".json"):
        try:
            written = f"[{','.join(filter(str.strip, text.splitlines()))}]" if kind == ".jsonl" else text
            rows = _of_json(json.loads(written))
        except (ValueError, RecursionError):
            return []
        return [{str(k): "" if v is None else str(v) for k, v in row.items()} for row in rows if isinstance(row, dict)]
    first = next((line for line in text.splitlines() if line.strip()), "")
    counts = Counter({mark: first.count(mark) for mark in "\t;,|"})
    delimiter, most = max(counts.items(), key=lambda item: item[1])
    try:
        if kind in LISTS and not most:
            lines = _of_list([line for line in text.splitlines() if line.strip()])
        else:
            lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter if most else ",", skipinitialspace=True))
    except csv.Error:
        return []
    lines = [line for line in lines if any(cell.strip() for cell in line)]
    head = [cell.strip() or f"column {i}" for i, cell in enumerate(next(iter(lines), []), 1)]
    return [dict(zip(head, [*line, *[""] * len(head)])) for line in lines[1:]] or ([dict.fromkeys(head, "")] if head else [])


def _of_list(written: Sequence[str]) -> list[list[str]]:
    """The cells of a list: of a file and a label a line, or as CelebA has them, of a file and attributes, below a line of how many
    there are and one of what the attributes are called."""
    written = written[1:] if written and written[0].strip().isdigit() else written
    cells = [line.split() for line in written]
    if len(cells) > 1 and {len(row) for row in cells[1:]} == {len(cells[0]) + 1}:
        return [["file", *cells[0]], *cells[1:]]
    return [line.rsplit(None, 1) for line in written]


def _of_json(content: object) -> Iterable[object]:
    """Rows of a list of them, of a dict from files to labels, or of what StyleGAN writes: {"labels": [[file, label], ...]}."""
    if isinstance(content, dict) and isinstance(content.get("labels"), list):
        content = content["labels"]
    if isinstance(content, dict):
        content = list(content.items())
    if not isinstance(content, list):
        return []
    pairs = [p for p in content if isinstance(p, list | tuple) and len(p) == 2]
    return [dict(zip(PAIR, pair, strict=True)) for pair in pairs] if pairs else content


Ends = dict[str, list[str]]


def _ends(pictures: Sequence[str]) -> Ends:
    """The pictures whose paths end so, with their suffix or without."""
    ends: Ends = defaultdict(list)
    for name in pictures:
        path = PurePosixPath(name)
        for whole in {path, path.with_suffix("")}:
            for i in range(len(whole.parts)):
                ends["/".join(whole.parts[i:])].append(name)
    return ends


@dataclass(frozen=True)
class _Places:
    """Finds the picture that a table means: by its path, from the table's folder or the source's, or by the end of its path where
    one picture alone has it, with its suffix or without."""

    table: str
    ends: Ends

    def find(self, value: object) -> str | None:
        text = str(value or "").strip().replace("\\", "/")
        for written in dict.fromkeys((text, unquote(text))):
            if written.rstrip("/").rpartition("/")[2] not in self.ends:  # as of most cells
                continue
            for name in (str(PurePosixPath(self.table).parent / written), str(PurePosixPath(written))):
                if name in self.ends.get(name, ()):
                    return name
            parts = [part for part in written.split("/") if part not in ("", ".", "..")]
            for i in range(len(parts)):
                if found := self.ends.get("/".join(parts[i:])):
                    return found[0] if len(found) == 1 else None
        return None
