"""requirements.lock: one version of everything that requirements.txt asks for, each file known by its hash."""

from __future__ import annotations

import re

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stargan.files import places


def test_the_lock_is_of_these_requirements_and_of_no_place() -> None:
    text = (places.ROOT / "requirements.lock").read_text()
    entries = [entry for entry in re.sub(r"\\\n", " ", text).splitlines() if entry and not entry.startswith("#")]
    locked = {}
    for entry in entries:
        match = re.fullmatch(r"([\w.-]+)==([\w.+!-]+)(?: ; [^#]*?)?((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", entry)
        assert match, f"{entry[:80]} has no version or no hash"
        locked[canonicalize_name(match[1])] = match[2]
    wanted = [Requirement(line) for line in (places.ROOT / "requirements.txt").read_text().splitlines()]
    assert wanted and len(locked) > len(wanted)
    for requirement in wanted:
        assert locked.get(canonicalize_name(requirement.name)) in requirement.specifier, f"{requirement} is not in the lock"
        assert any(part.operator.startswith("<") for part in requirement.specifier), f"{requirement} has no upper bound"
    assert not re.search(r"://|--index|--find|--extra", "".join(entries)), "a lock names no place to fetch from"
