"""Keeping Python's own files in reach after privileges are dropped.

Theory of operation. Started by root, a process imports its code as root and then becomes a uid of
its own. Python does not stop reading files there: codecs, `ssl` and much of Trio import modules at
first use, and packages read data files. If the interpreter or the checkout lies below a folder
that the new uid may not enter (root's home is 0700), every such import fails, minutes or days
later, as "No module named ...". A list of modules to import early would never be complete.

So before the drop, each folder that Python imports from and that the uid cannot reach is opened,
and everything that names it (`sys.path`, the `__path__` and `__file__` of loaded modules, their
loaders) is pointed at `/proc/self/fd/N` instead. The kernel follows that name to the open folder
itself and never walks the closed one above it. What lies outside stays closed: looking up `..`
needs the permission that is missing. Where all folders are in reach, nothing happens.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from chassis.service.launch import Identity


def keep_code_in_reach(identity: Identity) -> None:
    """Point Python at open folders where `identity` could not reach the named ones."""
    moved: dict[str, str] = {}
    for folder in _import_folders():
        if not _can_reach(identity, folder):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            moved[folder] = f"/proc/self/fd/{descriptor}"  # open for the life of the process
    if not moved:
        return
    sys.path[:] = [_relocate(entry, moved) for entry in (*sys.path, *moved)]
    sys.path_importer_cache.clear()
    for module in list(sys.modules.values()):
        _relocate_module(module, moved)


def _import_folders() -> list[str]:
    """Where modules come from, outermost first.

    An editable install finds packages in folders that stand in no `sys.path`, hence the parents
    of the loaded top-level packages.
    """
    entries = {Path(entry) for entry in sys.path}
    for name, module in list(sys.modules.items()):
        if "." not in name:
            entries |= {Path(path).parent for path in getattr(module, "__path__", ())}
    folders = sorted(
        (str(entry) for entry in entries if entry.is_absolute() and entry.is_dir()), key=len
    )
    return [
        folder
        for position, folder in enumerate(folders)
        if not any(folder.startswith(outer + "/") for outer in folders[:position])
    ]


def _can_reach(identity: Identity, folder: str) -> bool:
    """Whether every folder down to this one may be entered, by owner, group and mode."""
    named, real = Path(folder), Path(folder).resolve()
    steps = {named, *named.parents, real, *real.parents}
    return all(_may_enter(identity, step) for step in steps)


def _may_enter(identity: Identity, folder: Path) -> bool:
    status = folder.stat()
    if status.st_uid == identity.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid in (identity.gid, *identity.groups):
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _relocate(path: str, moved: dict[str, str]) -> str:
    for folder, replacement in moved.items():
        if path == folder or path.startswith(folder + "/"):
            return replacement + path[len(folder) :]
    return path


def _relocate_module(module: ModuleType, moved: dict[str, str]) -> None:
    """Rewrite every place in which a loaded module remembers where it came from."""
    specification = getattr(module, "__spec__", None)
    loader = getattr(specification, "loader", None)
    for owner, attribute in (
        (module, "__file__"),
        (specification, "origin"),
        (loader, "path"),  # data files are looked up beside it
    ):
        path = getattr(owner, attribute, None)
        if isinstance(path, str):
            relocated = _relocate(path, moved)
            if relocated != path:
                setattr(owner, attribute, relocated)
    for folders in (
        getattr(module, "__path__", None),
        getattr(specification, "submodule_search_locations", None),
    ):
        if isinstance(folders, list):
            folders[:] = _relocate_all(folders, moved)


def _relocate_all(paths: Iterable[str], moved: dict[str, str]) -> list[str]:
    return [_relocate(path, moved) for path in paths]
