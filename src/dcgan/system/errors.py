"""Every failure that a user can meet, with the exit code it ends the process with.

::

    DcganError
    ├── UsageError          64  a parameter or an argument is wrong
    ├── BadDataError        65  a data file or a model file is not what it must be
    ├── UnavailableError    69  a source or a server cannot be reached
    ├── DivergedError       70  training left the finite numbers
    ├── CannotCreateError   73  an output cannot be created where it was asked for
    ├── StorageError        74  reading or writing failed (disk full, I/O error)
    ├── BusyError           75  another run holds the lock
    └── Interrupted  128 + its number  stopped by a signal, after saving: 129, 130, 143, …

A message is one line: what happened, where, what to do. The codes are sysexits.h's.
"""

import signal


class DcganError(Exception):
    """A failure with a message for people and an exit code for programs."""

    exit_code = 1


class UsageError(DcganError):
    """A parameter or an argument is wrong."""

    exit_code = 64


class BadDataError(DcganError):
    """A data file or a model file is not what it must be."""

    exit_code = 65


class UnavailableError(DcganError):
    """A source or a server cannot be reached."""

    exit_code = 69


class DivergedError(DcganError):
    """Training left the finite numbers."""

    exit_code = 70


class CannotCreateError(DcganError):
    """An output cannot be created where it was asked for."""

    exit_code = 73


class StorageError(DcganError):
    """Reading or writing failed: disk full, I/O error."""

    exit_code = 74


class BusyError(DcganError):
    """Another run holds the lock."""

    exit_code = 75


class Interrupted(DcganError):  # noqa: N818 it is no error
    """Stopped by a signal, after everything worth keeping was saved."""

    def __init__(self, message: str, *, signal_number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
