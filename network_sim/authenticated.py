"""The bundled dialect with MACs, as a file: for stacks whose messages are to be authenticated.

A dialect says whether its messages carry MACs, and the bundled ones do not. Their layouts have room
for one, so an authenticated dialect is the same file with another word in it.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

DIALECT: Final = "net87b"
AUTHENTICATED: Final = f"{DIALECT}_cmac"
_CHANGES: Final = (
    (f'name = "{DIALECT}"', f'name = "{AUTHENTICATED}"'),
    ('mac = "none"', 'mac = "cmac"'),
)


def write_authenticated_dialect(folder: Path) -> Path:
    """Write NET87B with `mac = "cmac"` into a folder; other users may read the file.

    Raises:
        OSError: it cannot be written.
    """
    text = resources.files("switch.dialects").joinpath(f"{DIALECT}.toml").read_text("utf-8")
    for old, new in _CHANGES:
        head, found, tail = text.partition(old)
        assert found, f"{DIALECT}.toml says {old} no more"
        text = head + new + tail
    path = folder / f"{AUTHENTICATED}.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    return path
