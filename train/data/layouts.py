"""What of people's files is a picture of which domain and split: one rule for folders, archives and tables of labels.

Told apart are, in this order: a table with a column of files and one of labels; `train/<domain>/` and `val/<domain>/` (or test);
the `trainA/ trainB/ testA/ testB/` of two domains; a folder for each domain, at whatever depth the pictures lie in it, alone or
beside splits of the same domains (`cat/ dog/ val/cat/ val/dog/`); one flat folder, whole or in thousands (`00000/ 01000/`). Folders
around all of that do not matter, and of the same pictures in several sizes (`images1024x1024/ thumbnails128x128/`, as FFHQ is
distributed) the largest are taken. Splits are never domains, but for trains (`train/ car/`), and no two folders become one domain.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from train.data import SUFFIXES, tables
from train.data.splits import is_plain, size_of, split_of, usable

# What programs put into folders and archives for themselves, besides all that begins with a dot.
PROGRAMS = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found", "system volume information", "__pycache__"}
PROGRAM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
# A folder for each split and domain: trainA, train_A, train_male; male-train.
OF_LETTER = re.compile(r"(?P<split>train|val|valid|test)[ _-]?(?P<domain>[A-Za-z])", re.IGNORECASE)
SPLIT_FIRST = re.compile(r"(?P<split>[^\W\d_]+)[ _-](?P<domain>.+)")
SPLIT_LAST = re.compile(r"(?P<domain>.+)[ _-](?P<split>[^\W\d_]+)")
TRAIN = "train"  # a split, and what goes on rails
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
UNREAD = (
    *(".psd", ".svg", ".pdf", ".jxl", ".tga", ".ppm", ".pgm", ".ico", ".exr"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".raw"),
)


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
    pictures, no_pictures, left = [], [], []
    programs: Counter[str] = Counter()
    for name in sorted(names):
        if mark := _program(name):
            programs[mark] += 1
        elif PurePosixPath(name).suffix.lower() in SUFFIXES:
            pictures.append(name)
        else:
            no_pictures.append(name)
    left += [f"{mark}: a program's own ({count} file{'s' * (count > 1)})" for mark, count in sorted(programs.items())]
    if not pictures:
        raise LayoutError(_nothing(title, no_pictures))
    given = [table] if table else [name for name in no_pictures if name.lower().endswith(tables.TABLES)]
    by_folders = _by_folders(pictures, title, folders)
    if not given and len({found.domain for found in by_folders[1]}) == 1:
        given = [name for name in no_pictures if name.lower().endswith(tables.LISTS)]
    try:
        known = tables.find(given, pictures, read, label, needed=bool(table or label))
    except tables.TableError as error:
        raise LayoutError(str(error)) from None
    about = set(known.names)
    left += [*_no_pictures(other for other in no_pictures if other not in about), *known.problems]
    if known.rows:
        layout = labelled(known.rows, known.words)
        return Layout(layout.words, layout.pictures, (*left, *layout.left))
    words, chosen, problems = by_folders
    return Layout(words, chosen, (*left, *problems))


def labelled(pictures: Iterable[tuple[str, str, str]], words: str) -> Layout:
    """The layout of pictures whose label and split are known: rows of name, label and split; a split of another name is none."""
    rows = [(name, label, split_of(split)) for name, label, split in pictures]
    left = [f"{name}: has no label" for name, label, _ in rows if not label]
    keep, aside = usable({split: split for _, label, split in rows if label and split})
    domains = _names(label for _, label, _ in rows if label)
    found = [
        Found(name, domains[label], keep.get(split, "")) for name, label, split in rows if label and (not split or split in keep)
    ]
    return Layout(words, tuple(found), (*left, *aside))


def _nothing(title: str, no_pictures: Sequence[str]) -> str:
    """Why there are no pictures, and what to do."""
    if packed := [name for name in no_pictures if name.lower().endswith(ARCHIVES)]:
        return f"{title} has no pictures, but archives ({', '.join(packed)[:120]}); unpack each into a folder of its name"
    if kinds := sorted({PurePosixPath(name).suffix.lower() for name in no_pictures} & set(UNREAD)):
        return f"{title} has no pictures that are read, but {', '.join(kinds)}; convert them to PNG or JPEG"
    return f"{title} has no pictures; make a folder for each domain, with its pictures in it"


def _no_pictures(no_pictures: Iterable[str]) -> list[str]:
    def reason(name: str) -> str:
        if name.lower().endswith(ARCHIVES):
            return "is an archive; unpack it, to use what is in it"
        return "is a picture of a kind that is not read; convert it" if name.lower().endswith(UNREAD) else "is no picture"

    return [f"{name}: {reason(name)}" for name in no_pictures]


def _program(name: str) -> str:
    """The first part of a path that a program made for itself, with what leads to it; empty where there is none."""
    parts = PurePosixPath(name).parts
    for i, part in enumerate(parts):
        inner = i < len(parts) - 1
        if part.startswith(".") or part.lower() in (PROGRAMS if inner else PROGRAM_FILES):
            return "/".join(parts[: i + 1])
    return ""


By = tuple[str, tuple[Found, ...], list[str]]  # words, pictures, what is left out


def _by_folders(pictures: Sequence[str], title: str, folders: Collection[str]) -> By:
    paths = {name: PurePosixPath(name).parts for name in pictures}
    level = _level(list(paths.values()))
    inside = {name: parts[level:] for name, parts in paths.items()}
    counts = Counter(parts[0] for parts in inside.values() if len(parts) > 1)
    around = next(iter(paths.values()))[:level]
    wrapper = "/".join(around)
    title = next((name for name in reversed(around) if not is_plain(name)), title)
    sizes = {top: size_of(top) for top in counts}
    if len(counts) > 1 and all(sizes.values()) and len(set(sizes.values())) == len(counts):
        return _by_size(inside, counts, max(counts, key=sizes.__getitem__), title)
    # As FFHQ is packed; a part of it may be one thousand alone.
    thousand = r"\d{2,}000|0+" if len(counts) > 1 else r"\d{2,}000"
    thousands = bool(counts) and all(re.fullmatch(thousand, top) for top in counts)
    if not counts or thousands:
        (only,) = _names([title]).values()
        words = "one flat folder" + ", in thousands" * thousands
        return words, tuple(Found(name, only, "") for name in paths), []
    stray = [f"{name}: lies in no domain's folder" for name, parts in inside.items() if len(parts) == 1]
    deep = {name: parts for name, parts in inside.items() if len(parts) > 1}
    splits = {top: split for top in counts if (split := split_of(top))}
    beside = {parts[0] for parts in deep.values() if len(parts) > 2 and parts[0] in splits and parts[1] in counts.keys() - splits}
    if beside and (len(set(splits.values())) == 1 or "train" not in splits.values()):
        return _by_splits_beside(deep, splits, stray)
    if splits and (len(splits) == len(counts) or len(set(splits.values())) > 1):
        return _by_splits(deep, splits, title, stray)
    if pairs := _pairs(counts):
        return _by_pairs(deep, pairs, stray)
    unsaid = {top for top in splits if top.lower() != TRAIN}
    stray += [
        f"{top}: left out, as it does not say which domain its pictures show ({counts[top]} pictures)" for top in sorted(unsaid)
    ]
    deep = {name: parts for name, parts in deep.items() if parts[0] not in unsaid}
    domain = _names(counts.keys() - unsaid)
    others = sorted(f for f in folders if str(PurePosixPath(f).parent) == (wrapper or ".") and not _program(f))
    nothing = [f"{f}: has no pictures" for f in others if PurePosixPath(f).name not in counts]
    words = "a folder for each domain" if len(domain) > 1 else "the folder of one domain"
    inner, aside = _splits_inside(deep)
    held = ", ".join(sorted({parts[1] for name, parts in deep.items() if inner.get(name)}))
    found = [Found(name, domain[parts[0]], inner[name]) for name, parts in deep.items() if name in inner]
    return words + f", with {held} in it" * bool(held), tuple(found), [*stray, *nothing, *aside]


def _by_size(inside: dict[str, tuple[str, ...]], counts: Counter[str], largest: str, title: str) -> By:
    """The largest of the same pictures, which lie in folders that are called by their size."""
    words, found, aside = _by_folders([name for name, parts in inside.items() if parts[0] == largest], title, ())
    aside += [f"{name}: lies in no domain's folder" for name, parts in inside.items() if len(parts) == 1]
    aside += [
        f"{top}: left out, as {largest} is taken for the same pictures, larger ({count} pictures)"
        for top, count in sorted(counts.items())
        if top != largest
    ]
    return words, found, aside


def _splits_inside(deep: dict[str, tuple[str, ...]]) -> tuple[dict[str, str], list[str]]:
    """The split of each picture where domains have folders for them inside, as in cat/train and cat/val; of the others none."""
    inside = {name: split_of(parts[1]) if len(parts) > 2 else "" for name, parts in deep.items()}
    found: dict[str, str] = {}
    aside: list[str] = []
    for top in {parts[0] for parts in deep.values()}:
        mine = {name: inside[name] for name, parts in deep.items() if parts[0] == top}
        places = {deep[name][1]: split for name, split in mine.items() if split}
        if all(mine.values()) and len(set(places.values())) > 1:
            keep, left = usable(places)
            aside += [f"{top}/{sentence}" for sentence in left]
            found |= {name: keep[deep[name][1]] for name in mine if deep[name][1] in keep}
        else:
            found |= dict.fromkeys(mine, "")
    return found, sorted(aside)


def _pairs(tops: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Split and domain of folders that are called by both, such as trainA; empty where they are not, or there is one split alone
    that need not be one (train_station)."""
    forms = (OF_LETTER, SPLIT_FIRST, SPLIT_LAST)
    matches = {top: [m for form in forms if (m := form.fullmatch(top)) and split_of(m["split"])] for top in tops}
    found = {top: (split_of(of[0]["split"]), of[0]["domain"]) for top, of in matches.items() if of}
    letters = [top for top, of in matches.items() if of and of[0].re is OF_LETTER]
    several = len({split for split, _ in found.values()}) > 1
    alone = len(letters) == len(matches) and len({domain for _, domain in found.values()}) > 1
    return found if several or alone else {}


def _by_pairs(deep: dict[str, tuple[str, ...]], pairs: dict[str, tuple[str, str]], stray: list[str]) -> By:
    keep, aside = usable({top: split for top, (split, _) in pairs.items()})
    domain = _names(name for _, name in pairs.values())
    chosen = [Found(n, domain[pairs[p[0]][1]], keep[p[0]]) for n, p in deep.items() if p[0] in keep]
    return "pairs of folders, trainA and so on", tuple(chosen), [*stray, *aside, *_beside(deep, pairs)]


def _beside(deep: dict[str, tuple[str, ...]], known: Collection[str]) -> list[str]:
    unknown = Counter(parts[0] for parts in deep.values() if parts[0] not in known)
    return [f"{top}: left out, as it lies beside {', '.join(sorted(known))} ({n} pictures)" for top, n in sorted(unknown.items())]


def _level(paths: Sequence[tuple[str, ...]]) -> int:
    """How many folders lie around all others."""
    level = 0
    while True:
        tops = {parts[level] for parts in paths if len(parts) > level + 1}
        if len(tops) != 1 or any(len(parts) <= level + 1 for parts in paths) or split_of(next(iter(tops))):
            return level
        below = Counter(parts[level + 1] if len(parts) > level + 2 else "" for parts in paths)
        # Pictures of its own make it a domain, unless they are strays beside the domains' folders.
        if not set(below) - {""} or (below[""] and (len(below) < 3 or 2 * below[""] > len(paths))):
            return level
        level += 1


def _by_splits(deep: dict[str, tuple[str, ...]], splits: dict[str, str], title: str, stray: list[str]) -> By:
    aside = _beside(deep, splits)
    inner: dict[str, tuple[str, ...]] = {}
    for name, (top, *rest) in deep.items():
        if top in splits:
            while len(rest) > 1 and split_of(rest[0]) == splits[top]:  # training_set/training_set
                del rest[0]
            inner[name] = tuple(rest)
    level = _level(list(inner.values()))
    inner = {name: parts[level:] for name, parts in inner.items()}
    one = all(len(parts) == 1 for parts in inner.values())
    if not one:
        stray += [f"{name}: lies in no domain's folder" for name, parts in inner.items() if len(parts) == 1]
        inner = {name: parts for name, parts in inner.items() if len(parts) > 1}
    labels = {name: title if one else parts[0] for name, parts in inner.items()}
    if not one and len(set(labels.values())) == 1 and is_plain(next(iter(labels.values()))):
        labels, one = dict.fromkeys(labels, title), True
    # What has no domains inside is no split of them.
    keep, left = usable({top: splits[top] for top in sorted({deep[name][0] for name in inner})})
    domains = _names(labels.values())
    words = f"a data folder with {', '.join(sorted(keep))}" + ", from which val is drawn" * (not any(keep.values()))
    found = tuple(Found(n, domains[labels[n]], keep[deep[n][0]]) for n in inner if deep[n][0] in keep)
    return words + ", of one domain" * one, found, [*stray, *aside, *left]


def _by_splits_beside(deep: dict[str, tuple[str, ...]], splits: dict[str, str], stray: list[str]) -> By:
    """Domains beside splits of them, as cat beside val/cat: the pictures outside of splits are for training."""
    domain = _names({parts[0] for parts in deep.values()} - splits.keys())
    found: dict[str, tuple[str, str]] = {}  # domain, and folder of the split, empty outside
    lost: Counter[str] = Counter()
    for name, (top, *rest) in deep.items():
        if top not in splits:
            found[name] = domain[top], ""
        elif len(rest) == 1:
            stray.append(f"{name}: lies in no domain's folder")
        elif rest[0] in domain:
            found[name] = domain[rest[0]], top
        else:
            lost[f"{top}/{rest[0]}"] += 1
    keep, aside = usable({"": "train"} | {top: splits[top] for _, top in sorted(found.values()) if top})
    aside += [
        f"{place}: left out, as no folder of that name lies beside {place.partition('/')[0]} ({n} pictures)"
        for place, n in sorted(lost.items())
    ]
    words = "a folder for each domain" if len(domain) > 1 else "the folder of one domain"
    words += f", with {', '.join(sorted(keep.keys() - {''}))} beside" + ", from which val is drawn" * (not any(keep.values()))
    chosen = tuple(Found(name, label, keep[top]) for name, (label, top) in found.items() if top in keep)
    return words, chosen, [*stray, *aside]


def _names(labels: Iterable[str]) -> dict[str, str]:
    """Folder names for domains, different ones even where capitals make no difference."""
    found: dict[str, str] = {}
    for label in sorted(set(labels)):
        written = unicodedata.normalize("NFC", label)
        name = plain = re.sub(r'[<>:"/\\|?*\x00-\x1f\ud800-\udfff]', "_", written).strip(" .")[:60].strip() or "_"
        for count in range(2, len(found) + 3):
            if name.casefold() not in {other.casefold() for other in found.values()}:
                break
            name = f"{plain} {count}"
        found[label] = name
    return found
