"""Rooms without circles, of files and functions that can be read at a glance. The arrows between rooms are held by the contracts in
pyproject.toml, which `lint-imports` checks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

import grimp
import pytest

from stargan.files import places

LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 360, 62
# Public all the same, the second of named tuples; and the queue of Gradio's Blocks, which nothing public leads to.
NAMED = {"os._exit", "part._replace", "page._queue"}
DOTTED = re.compile(r"\w+(\.\w+)+")
PARSED = {
    path.relative_to(places.ROOT).as_posix(): path.read_text()
    for top in ("stargan", "train", "tests", "app.py")
    for path in ([places.ROOT / top] if top.endswith(".py") else sorted((places.ROOT / top).rglob("*.py")))
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("stargan", "train", cache_dir=None)


def circles(graph: grimp.ImportGraph) -> list[str]:
    """The lines without which no room would have a circle."""
    found = []
    for room in sorted(graph.modules):
        for importer, imported in graph.nominate_cycle_breakers(room):
            for line in graph.get_import_details(importer=importer, imported=imported):
                found.append(f"{importer}, line {line['line_number']}: {line['line_contents']}")
    return found


def test_no_room_has_a_circle(graph: grimp.ImportGraph) -> None:
    assert not circles(graph)


def test_a_circle_is_named_by_its_line(graph: grimp.ImportGraph) -> None:
    graph.add_import(
        importer="stargan.networks", imported="stargan.model", line_number=7, line_contents="from stargan.model import Model"
    )
    assert circles(graph) == ["stargan.networks, line 7: from stargan.model import Model"]


def test_files_and_functions_are_short() -> None:
    long = [f"{path}: {count} lines" for path, text in PARSED.items() if (count := text.count("\n")) > LINES_OF_A_FILE]
    for path, text in PARSED.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                long += [f"{path}, {node.name}: {count} lines"] * (count > LINES_OF_A_FUNCTION)
    assert not long


def private(text: str) -> Iterator[str]:
    """Private names of modules other than one's own, as they are written."""
    tree = ast.parse(text)
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {(alias.asname or alias.name.partition(".")[0]): alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names if hidden(f"{node.module}.{alias.name}"))
            modules |= {(alias.asname or alias.name): alias.name for alias in node.names if alias.name.islower()}
    for node in ast.walk(tree):
        name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
        if DOTTED.fullmatch(name) and hidden(name) and name.partition(".")[0] in modules:
            yield name


def hidden(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def foreign(texts: Iterable[str]) -> set[str]:
    """Attributes with an underscore that none of these texts makes, as they are written: other packages' own."""
    nodes = [node for text in texts for node in ast.walk(ast.parse(text))]
    made = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    made |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and hidden(node.attr)]
    made |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    return {ast.unparse(node) for node in attributes if node.attr not in made}


def test_no_private_name_of_another_module_is_used() -> None:
    texts = {path: text for path, text in PARSED.items() if not path.startswith("tests/")}
    found = {f"{path}: {name}" for path, text in texts.items() for name in private(text) if name not in NAMED}
    assert not found and not foreign(texts.values()) - NAMED


def test_a_private_name_is_found() -> None:
    text = "import torch\nfrom stargan import zoo\nfrom stargan.files.download import _attempt\n\nzoo._file()\ntorch.nn._x = 1\n"
    assert set(private(text)) == {"stargan.files.download._attempt", "zoo._file", "torch.nn._x"}
    text = "class A:\n    _a: int\n    def _b(self): self._c = self._a + self._b()\n\ndef f(x): return x._a + x._c + x()._theirs"
    assert foreign([text, "y._b + y._c"]) == {"x()._theirs"}
