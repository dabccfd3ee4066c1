"""Read by every Python process that has this folder in PYTHONPATH: kills it, as `kill -9` does, at a chosen change of files.

CHAOS_FOLDER: the changes that count are those in it. CHAOS_AT: the number of the change before which, or CHAOS_DELAY seconds after
which, the process ends, counted in each process for itself; 0: never. CHAOS_COUNT: a file that is given a byte for each change.
CHAOS_CLOCK: seconds by which the clock jumps to and fro.
"""

import os
import signal
import sys
import threading
import time

folder, at, delay = os.environ["CHAOS_FOLDER"], int(os.environ["CHAOS_AT"]), float(os.environ["CHAOS_DELAY"])
counter = os.open(os.environ["CHAOS_COUNT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
changes = 0
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PATHS = {"open": 1, "os.rename": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1, "os.truncate": 1}


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def watch(event: str, arguments: tuple) -> None:
    global changes
    if event not in PATHS or (event == "open" and not arguments[2] & WRITING):
        return
    paths = [p for p in arguments[: PATHS[event]] if isinstance(p, str | bytes | os.PathLike)]
    if not any(os.path.abspath(os.fsdecode(p)).startswith(folder) for p in paths):
        return
    changes += 1
    os.write(counter, b".")
    if changes == at:
        if delay:
            later = threading.Timer(delay, end)
            later.daemon = True
            later.start()
        else:
            end()


sys.addaudithook(watch)

if jump := float(os.environ["CHAOS_CLOCK"]):
    real, calls = time.time, 0

    def jumping() -> float:
        global calls
        calls += 1
        return real() + (jump if calls // 3 % 2 else -jump)

    time.time = jumping
