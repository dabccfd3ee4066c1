"""Files that are whole under their name, or not there at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FULL = (errno.ENOSPC, errno.EDQUOT)  # what the system says of a full disk


@contextlib.contextmanager
def whole(path: Path | str) -> Iterator[Path]:
    """Where to write a file that appears at `path`, or where that leads as a link, once the block has ended without an error.

    What a killed process leaves behind ends in `.part`; it is written over when the same file is written again, and removed by
    `sweep`. OSError where it cannot be written, or is a device or a pipe, whose place a file must not take.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise OSError(errno.EINVAL, "it is no ordinary file; give another name", str(path))
    held, partial = _partial(target)
    with held:
        try:
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            if fcntl is None:
                held.close()  # Windows moves no open file
            os.replace(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _partial(target: Path) -> tuple[IO[bytes], Path]:
    """An empty file beside the target that no other process writes to until it is closed."""
    if fcntl is not None:
        usual = target.with_name(f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.part")
        held = usual.open("ab")
        # Whoever had it may have put it into its place since it was opened.
        if hold(held) and _leads_to(usual, held):
            held.truncate(0)
            return held, usual
        held.close()
    own = target.with_name(f".{secrets.token_hex(8)}.part")
    held = own.open("xb")
    hold(held)
    return held, own


def _leads_to(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def sweep(folder: Path | str) -> None:
    """Removes the half-written files that killed processes have left in a folder; those that somebody is writing stay."""
    for partial in Path(folder).glob(f".{'[0-9a-f]' * 16}.part"):
        with contextlib.suppress(FileNotFoundError), partial.open("rb") as file:
            if hold(file):
                partial.unlink()


def hold(file: IO[bytes]) -> bool:
    """Takes an open file for this process, until it is closed; False where another has it, or where there are no such locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
