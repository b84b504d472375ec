"""A bar on stderr for what takes long; silent where nobody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show how much of how much is done, until the block ends.

    Args:
        label: what is being done.
        quiet: show nothing.
    """
    from rich.console import Console  # noqa: PLC0415  when called: --help must not wait for it
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    disable = quiet or not console.is_terminal
    with Progress(console=console, disable=disable, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
