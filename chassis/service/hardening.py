"""What a process gives up before it touches card data.

Limits and flags are inherited by nothing and can only be tightened: no core dumps, no gain of
privileges by exec, no inspection by a debugger or through /proc by another process of the same
uid. See security.md 157 and prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

from chassis.service.launch import Identity

OPEN_FILES_MAX = 1_048_576  # the kernel's own ceiling (fs.nr_open); the hard limit is often lower
UMASK = 0o077
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


class HardeningError(Exception):
    """The kernel refused; the process must not go on with what it was meant to lose."""


def forbid_core_dumps() -> None:
    """No core file of this process ever, nor of what it starts: memory holds passwords and cards.

    Setting the hard limit too keeps a child from raising its own again.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_resources() -> None:
    """No core file ever; as many open files as we may have; new files are ours alone."""
    forbid_core_dumps()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    os.umask(UMASK)


def become(identity: Identity) -> None:
    """Become another user for good: groups, gid and uid, real, effective and saved.

    Raises:
        HardeningError: any of them is not what was asked for afterwards.
    """
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if os.getresuid() != (identity.uid,) * 3 or os.getresgid() != (identity.gid,) * 3:
        raise HardeningError(f"could not become uid {identity.uid}, gid {identity.gid}")


def forbid_inspection() -> None:
    """Refuse debuggers and new privileges. Changing uid resets the first, so call it after.

    Raises:
        HardeningError: the kernel refused.
    """
    if sys.platform == "linux":
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise HardeningError(f"prctl({option}, {value}): {reason}")
