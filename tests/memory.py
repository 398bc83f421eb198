"""Where tests keep what lives for seconds: in memory, if the machine has room there.

They kill processes, never the machine, so no test could see what only a disk keeps; and half of the time of a run on a
disk was spent on waiting for it. Benchmarks stay on the disk.
"""

import os
import shutil
from pathlib import Path

SHARED = Path("/dev/shm")
ROOM_BYTES = 6 << 30


def memory() -> Path | None:
    """A folder in memory with room for a run; None: the system's folder for temporary files has to do."""
    if not os.access(SHARED, os.W_OK | os.X_OK) or shutil.disk_usage(SHARED).free < ROOM_BYTES:
        return None
    return SHARED
