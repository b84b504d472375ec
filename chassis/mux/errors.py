"""What can go wrong on a mux: ours and theirs kept apart."""

from __future__ import annotations


class MuxError(Exception):
    """Base of all of them; never raised itself."""


class MuxClosedError(MuxError):
    """There is no connection, or it ended before the reply: the request's fate is unknown."""


class MuxOverloadError(MuxError):
    """A bound of ours is reached; the request was not queued."""


class MuxMessageTooLargeError(MuxError):
    """A message of ours is larger than a frame may be; it was not queued."""


class MuxProtocolError(MuxError):
    """The peer broke the format or a bound; its connection is closed."""
