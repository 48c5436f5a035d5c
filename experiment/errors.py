"""Errors that a user can mend, each told in one line that says how."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """One clear line that says what is wrong and what to do.

    Command lines print it as `error: <message>` on standard error and exit with 2; nobody needs a traceback.
    """


@contextmanager
def explain(doing: str) -> Iterator[None]:
    """Turn the system's errors (no space, no permission) into one line: "cannot <doing>: <the system's words>".

    Raises:
        UserError: for any OSError inside.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot {doing}: {error.strerror or error}") from error
