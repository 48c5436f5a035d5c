"""A lock on a run's folder: two processes that train into one folder would garble both."""

import errno
import os
import sys
from pathlib import Path

from experiment.errors import UserError, explain

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

HELD = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
FAR = 1 << 30  # Windows bars others from reading a locked byte; the process id at the start must stay readable


class FolderLock:
    """Held by one process at a time; the system lets go of it when the process ends, however it ends.

    On file systems that know no locks nothing is held, and nothing is said.

    Args:
        path: the lock's file, which stays. It holds the number of the process that has or had the lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A bare descriptor, not a file object: the lock must not end with the object that asked for it.
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; nothing happens if this object has it already.

        Raises:
            UserError: naming the process that holds it.
        """
        if self._descriptor is not None:
            return
        with explain(f"lock {self.path.parent}"):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                lock(descriptor)
            except OSError as error:
                if error.errno in HELD:
                    other = os.read(descriptor, 20).decode(errors="replace").strip()
                    os.close(descriptor)
                    raise UserError(
                        f"process {other or '(unknown)'} is training into {self.path.parent}; "
                        "wait for it, stop it, or choose another folder"
                    ) from error
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            self._descriptor = descriptor


def lock(descriptor: int) -> None:
    """Take the lock on an open file; the system lets go of it when the file is closed.

    Raises:
        OSError: if another has it, with a number in HELD, or if the file system knows no locks.
    """
    if sys.platform == "win32":
        os.lseek(descriptor, FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
