"""docs/security.md: each of its sentences names tests, and those are there."""

from __future__ import annotations

import re

from stargan.files import places


def test_every_sentence_on_security_is_held_by_a_test() -> None:
    sentences = re.findall(r"^- .*", (places.ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    assert len(sentences) > 15
    for sentence in sentences:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", sentence)
        assert named, f"no test holds: {sentence}"
        for path, name in named:
            assert f"def {name}(" in (places.ROOT / path).read_text(), f"{path} has no {name}"
