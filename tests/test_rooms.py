"""Rooms without circles. The arrows between them are held by the contracts in pyproject.toml, which `lint-imports` checks."""

from __future__ import annotations

import grimp
import pytest


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
