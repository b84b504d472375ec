"""What was seen within the last moments: a bounded set that forgets in two generations.

A member is remembered for `window_ns` at least and twice that at most, unless more than
`members_max` come within one window: then a generation ends early, as in `api.limits.gcra`.
"""

from __future__ import annotations


class Recent:
    """A set of what was added lately.

    Args:
        window_ns: how long a member is remembered at least, in nanoseconds.
        members_max: of each of the two generations.
    """

    __slots__ = ("_current", "_members_max", "_previous", "_rotate_at", "_window_ns")

    def __init__(self, window_ns: int, *, members_max: int) -> None:
        if members_max < 1:
            raise ValueError("a set that holds nothing remembers nothing")
        self._window_ns = window_ns
        self._members_max = members_max
        self._current: set[bytes] = set()
        self._previous: set[bytes] = set()
        self._rotate_at = 0

    def __len__(self) -> int:
        """How many members are remembered; one of both generations counts twice."""
        return len(self._current) + len(self._previous)

    def add(self, member: bytes, now_ns: int) -> bool:
        """Remember a member; True if it was not remembered before."""
        if now_ns >= self._rotate_at:
            over = now_ns >= self._rotate_at + self._window_ns
            self._turn(now_ns, set() if over else self._current)
        elif len(self._current) >= self._members_max:
            self._turn(now_ns, self._current)
        is_new = member not in self._current and member not in self._previous
        self._current.add(member)
        return is_new

    def _turn(self, now_ns: int, previous: set[bytes]) -> None:
        self._previous, self._current = previous, set()
        self._rotate_at = now_ns + self._window_ns
