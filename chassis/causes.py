"""What an exception says, once Trio's nurseries have wrapped it."""

from __future__ import annotations


def first_cause(error: BaseException) -> BaseException:
    """The first exception that is no group: a nursery's others usually follow from it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def in_words(error: BaseException) -> str:
    """Type and text of the first cause, on one line; what it says is not masked."""
    cause = first_cause(error)
    text = " ".join(str(cause).split())
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__
