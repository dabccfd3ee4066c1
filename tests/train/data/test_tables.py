"""Tables of labels as people have them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from material import portrait

from train.data import layouts, own, tables
from train.data.making import PrepareError


def put(root: Path, names: list[str]) -> Path:
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        portrait(i, 40).save(root / name)
    return root


def made(out: Path) -> Counter[tuple[str, str]]:
    return Counter((p.parts[-3], p.parts[-2]) for p in out.glob("*/*/*.png"))


def lines(row: str, head: str = "", end: str = "\n", count: int = 4) -> str:
    return end.join([head] * bool(head) + [row.format(i=i) for i in range(count)]) + end


TABLE: dict[str, str | bytes] = {
    "labels.csv": lines("cat {i}.png,cat", "file,label") + "missing.png,cat\ncat 4.png,\n",
    "labels.tsv": lines("cat {i}\tcat", "image_id\tbreed"),
    "metadata.jsonl": lines('{{"file_name": "cat {i}.png", "label": "cat"}}'),
    "semicolons.csv": lines("pictures\\cat {i}.png;cat", "path;class"),
    "two columns.csv": lines("pictures/cat {i}.png,cat", "a,b"),
    "with a mark.csv": b"\xef\xbb\xbf" + lines("cat {i}.png,cat", "File,Label", "\r\n").encode(),
    "utf16.csv": lines("cat {i}.png\tcat", "file\tlabel").encode("utf-16"),
    "western.csv": lines("cat {i}.png,cat,ho\u00eatre", "file,label,note").encode("cp1252"),
    "quotes.csv": lines('"cat {i}.png","cat","a note\n of two, lines"', '"file", "label", "note"'),
    "bars.csv": lines("cat {i}.png|cat", "image|category"),
    "CAPITALS.CSV": lines("CAT,cat {i}.png".replace("CAT", "cat"), "Class,ImageName"),
    "without a head.csv": lines("cat {i}.png,cat"),
    "list.txt": lines("cat {i}.png cat"),
    "absolute.csv": lines("/home/me/set/pictures/cat {i}.png,cat", "path,label"),
    "from here.csv": lines("./pictures/cat {i}.png,cat", "path,label"),
    "quoted.csv": lines("pictures/cat%20{i}.png,cat", "url,label"),
    "an id first.csv": lines("{i},cat {i}.png,cat", "id,picture,label"),
    "rows.json": json.dumps([{"image": f"cat {i}.png", "label": "cat"} for i in range(4)]),
    "files.json": json.dumps({f"cat {i}.png": "cat" for i in range(4)}),
    "dataset.json": json.dumps({"labels": [[f"pictures/cat {i}.png", "cat"] for i in range(4)]}),
    "one of.csv": lines("cat {i}.png,1,0", "file,cat,dog"),
    "attribute.csv": lines("cat {i}.png,1", "file,cat") + "missing.png,-1\n",
}


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("table", TABLE)
def test_tables_of_labels(tmp_path: Path, table: str, direct: bool) -> None:
    root = put(tmp_path / "source", [f"pictures/cat {i}.png" for i in range(5)])
    content = TABLE[table]
    (root / table).write_bytes(content.encode() if isinstance(content, str) else content)
    report = own.folder(root / table if direct else root, tmp_path / "out", 32)
    assert f"a table of labels ({table}" in report.taken_for and "cat (4)" in report.taken_for
    assert {domain for _, domain in made(tmp_path / "out")} == {"cat"} and report.written == 4
    said = "\n".join(report.skipped)
    assert "pictures/cat 4.png: is not in" in said
    if table == "labels.csv":
        assert "line 6: there is no picture missing.png" in said and "line 7: has no label" in said


def by_row(root: Path, head: str, row: Callable[[int], str]) -> Path:
    put(root, [f"{i}.png" for i in range(12)])
    (root / "attributes.csv").write_text("\n".join([head, *(f"{i}.png,{row(i)}" for i in range(12))]))
    return root


SPLIT: dict[str, tuple[str, Callable[[int], str]]] = {
    "words": ("split", lambda i: "training" if i < 8 else "valid"),
    "test stands for val": ("subset", lambda i: "train" if i < 8 else "test"),
    "numbers": ("partition", lambda i: "0" if i < 8 else "1"),
    "is_valid": ("is_valid", lambda i: str(i >= 8)),
    "is_train": ("is_train", lambda i: str(int(i < 8))),
}


@pytest.mark.parametrize("kind", SPLIT)
@pytest.mark.parametrize("labels", ["words", "numbers"])
def test_a_table_with_splits(tmp_path: Path, kind: str, labels: str) -> None:
    head, split = SPLIT[kind]
    names = ("no", "yes") if labels == "words" else ("0", "7")
    root = by_row(tmp_path / "source", f"image,label,{head}", lambda i: f"{names[i % 2]},{split(i)}")
    own.folder(root, tmp_path / "out", 32)
    assert made(tmp_path / "out") == {("train", n): 4 for n in names} | {("val", n): 2 for n in names}


def test_a_column_that_is_named(tmp_path: Path) -> None:
    root = by_row(tmp_path / "source", "image,smiling,split", lambda i: f"{'no' if i % 2 else 'yes'},{'train' if i < 8 else 'val'}")
    with pytest.raises(PrepareError, match=r"its columns are image, smiling, split; it needs .* --label names"):
        own.folder(root / "attributes.csv", tmp_path / "other", 32, label="hat")
    own.folder(root, tmp_path / "out", 32, label="Smiling")
    assert made(tmp_path / "out") == {("train", "yes"): 4, ("train", "no"): 4, ("val", "yes"): 2, ("val", "no"): 2}


@pytest.mark.parametrize("folders", [("",), ("cat/", "dog/")])
def test_a_column_that_is_named_without_a_table_is_refused(tmp_path: Path, folders: tuple[str, ...]) -> None:
    root = put(tmp_path / "source", [f"{folder}{i}.png" for folder in folders for i in range(4)])
    with pytest.raises(PrepareError, match="--label foo names a column of a table, and there is none .*or leave --label out"):
        own.folder(root, tmp_path / "out", 32, label="foo")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("marks", [("1", "-1"), ("1", "0"), ("True", "False")])
def test_an_attribute_is_a_domain_and_what_lacks_it_another(tmp_path: Path, marks: tuple[str, str]) -> None:
    root = by_row(tmp_path / "source", "image_id,Male,Smiling", lambda i: f"{marks[i % 2]},{marks[i // 6]}")
    with pytest.raises(PrepareError, match=r"columns are image_id, Male, Smiling"):
        own.folder(root / "attributes.csv", tmp_path / "out", 32)
    own.folder(root, tmp_path / "out", 32, label="Male")
    assert {domain for _, domain in made(tmp_path / "out")} == {"Male", "not Male"}


@pytest.mark.parametrize(
    "names", [("train.csv", "val.csv"), ("train/labels.csv", "test/labels.csv"), ("training_set.tsv", "dev.tsv")]
)
def test_a_table_for_each_split(tmp_path: Path, names: tuple[str, str]) -> None:
    root = put(tmp_path / "source", [f"{s}/{i}.png" for s in ("a", "b") for i in range(6)])
    mark = "\t" if names[0].endswith("tsv") else ","
    for name, place, count in zip(names, "ab", (6, 4)):
        (root / name).parent.mkdir(exist_ok=True)
        rows = [f"{place}/{i}.png{mark}{'cat' if i % 2 else 'dog'}" for i in range(count)]
        (root / name).write_text("\n".join([f"file{mark}label", *rows]))
    report = own.folder(root, tmp_path / "out", 32)
    assert made(tmp_path / "out") == {("train", "cat"): 3, ("train", "dog"): 3, ("val", "cat"): 2, ("val", "dog"): 2}
    assert f"{names[1]} and {names[0]}" in report.taken_for or f"{names[0]} and {names[1]}" in report.taken_for
    assert all("is not in" in sentence for sentence in report.skipped) and len(report.skipped) == 2


def test_a_list_beside_folders_of_domains_is_none(tmp_path: Path) -> None:
    """It gives numbers where folders give names."""
    root = put(tmp_path / "source", [f"{d}/{i}.png" for d in ("cat", "dog") for i in range(4)])
    (root / "train.txt").write_text("".join(f"{d}/{i}.png {n}\n" for n, d in enumerate(("cat", "dog")) for i in range(4)))
    report = own.folder(root, tmp_path / "out", 32)
    assert {domain for _, domain in made(tmp_path / "out")} == {"cat", "dog"} and report.skipped == ("train.txt: is no picture",)


@pytest.mark.parametrize(
    "content", ["", "\n\n", "file,label\n", "a\n", "{", "[1, 2]", '{"labels": null}', "\x00\x01,\x02", '"' * 99]
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl"])
def test_other_tables_are_left_aside(content: str, suffix: str) -> None:
    names = [f"{d}/{i}.png" for d in ("cat", "dog") for i in range(4)]
    found = layouts.find([*names, f"x{suffix}"], "source", lambda _: content)
    assert found.words == "a folder for each domain" and found.left == (f"x{suffix}: is no picture",)
    with pytest.raises(layouts.LayoutError, match=rf"x{suffix} is no table of labels: its columns are"):
        layouts.find([*names, f"x{suffix}"], "source", lambda _: content, table=f"x{suffix}")


def test_a_name_that_two_pictures_have_names_none() -> None:
    found = tables.find(["x.csv"], ["a/0.png", "b/0.png", "b/1.png"], lambda _: "file,label\n0.png,cat\n1.png,cat\n", "", True)
    assert found.rows == (("b/1.png", "cat", ""),)
    assert found.problems[0] == "x.csv, line 2: there is no picture 0.png"


CELEBA = {
    "list_attr_celeba.txt": "8\nBald Smiling Young\n" + "".join(f"{i}.jpg  {'-1  1' if i < 4 else ' 1 -1'}  1\n" for i in range(8)),
    "list_eval_partition.txt": "".join(f"{i}.jpg {i % 3}\n" for i in range(8)),
}


def test_the_lists_of_celeba_are_read(tmp_path: Path) -> None:
    root = put(tmp_path / "celeba", [f"img/{i}.jpg" for i in range(8)])
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        (root / name).write_text(CELEBA[name])
    own.folder(root, tmp_path / "plain", 32)
    assert {domain for _, domain in made(tmp_path / "plain")} == {"img"}, "a partition is none of domains"
    own.folder(root, tmp_path / "out", 32, label="Smiling")
    assert {domain for _, domain in made(tmp_path / "out")} == {"Smiling", "not Smiling"}
    assert sum(made(tmp_path / "out").values()) == 8


def test_a_table_of_too_many_labels_is_refused_in_short(tmp_path: Path) -> None:
    root = put(tmp_path / "celeba", [f"img/{i}.jpg" for i in range(12)])
    (root / "identity_CelebA.txt").write_text("".join(f"{i}.jpg {1000 + i}\n" for i in range(12)))
    with pytest.raises(PrepareError, match=r"12 domains\) 1000 has 1, .*1009 has 1 and 2 more have as few; add pictures$"):
        own.folder(root, tmp_path / "out", 32)
    (root / "list_attr_celeba.txt").write_text(CELEBA["list_attr_celeba.txt"])
    with pytest.raises(PrepareError, match=r"or take other labels \(list_attr.*--label names .*: Bald, Smiling, Young\)$"):
        own.folder(root, tmp_path / "out", 32)


# What programs write beside each picture: Google Takeout, LabelMe, gallery-dl, CreateML, and captions to learn from.
BESIDE = {
    "{n}.supplemental-metadata.json": {"title": "{n}", "description": "", "url": "https://example.org/{n}"},
    "{s}.json": {"version": "5.0", "shapes": [{"label": "face"}], "imagePath": "{n}", "imageHeight": 40},
    "{n}.json": {"category": "site", "filename": "{s}", "extension": "png"},
    "ml-{s}.json": [{"image": "{n}", "annotations": [{"label": "face"}]}],
    "cover-{s}.json": {"front": "cat/0.png", "back": "cat/1.png"},
    "{s}.txt": "{s}, a photo, smile",
}


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("folders", [("cat", "dog"), ("cat",)])
def test_what_a_program_knows_of_one_picture_is_no_table(
    monkeypatch: pytest.MonkeyPatch, beside: str, folders: tuple[str, ...]
) -> None:
    texts: dict[str, str] = {}
    content = BESIDE[beside]
    for picture in (names := [f"{folder}/{i}.png" for folder in folders for i in range(6)]):
        folder, name = picture.split("/")
        stem = name.removesuffix(".png")
        text = content if isinstance(content, str) else json.dumps(content)
        texts[f"{folder}/{beside.format(n=name, s=stem)}"] = text.replace("{n}", name).replace("{s}", stem)
    built = []
    ends = tables._ends
    monkeypatch.setattr(tables, "_ends", lambda pictures: built.append(1) or ends(pictures))
    found = layouts.find([*names, *texts], "source", texts.__getitem__)
    assert {p.domain for p in found.pictures} == set(folders) and len(found.pictures) == len(names)
    assert found.left == tuple(f"{name}: is no picture" for name in sorted(texts)) and len(built) == 1, "once for all of them"


def test_columns_of_labels_that_nobody_named_are_told() -> None:
    names, table = [f"all/{i}.png" for i in range(8)], lines("{i}.png,{i},1,Female", "file,age,real,gender", count=8)
    found = layouts.find([*names, "x.csv"], "source", lambda _: table)
    assert found.words == "the folder of one domain"
    assert found.left[0].startswith("x.csv: has no column that is known to be of labels; --label names the one")
    assert found.left[0].endswith(": age, real, gender")


def test_many_tables_are_not_all_named() -> None:
    names = [f"{i}.png" for i in range(20)]
    texts = {f"{i}.csv": f"file,label\n{i}.png,cat\n" for i in range(19)}
    found = layouts.find([*names, *texts], "source", texts.__getitem__)
    assert "13.csv and 13 more, columns file and label)" in found.words and found.left[-1].endswith(" or 13 more")
