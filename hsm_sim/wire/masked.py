"""Records of secrets: they travel, and nothing else."""

from __future__ import annotations

from typing import Any, NoReturn

from msgspec import Struct


class Masked(Struct, array_like=True, gc=False, frozen=True):
    """A record of secrets: it travels, and is never printed, pickled or copied."""

    def __repr__(self) -> str:
        """The type alone."""
        return f"{type(self).__name__}(<masked>)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """No fields for rich, which lists them instead of asking `repr`."""
        return []

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        raise TypeError(f"{type(self).__name__} holds secrets: it is not pickled or copied")

    def __copy__(self) -> NoReturn:
        """Refuse to be copied."""
        self.__reduce__()

    def __deepcopy__(self, memo: object) -> NoReturn:
        """Refuse to be copied."""
        self.__reduce__()
