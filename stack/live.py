"""What live mode refuses to find in a data directory (contract 1).

`chassis.settings.live` judges the settings, the HSM asks for its ceremony, the switch refuses test
cards. Here are the two things that only the files can tell: the demo shop's keys, which stand on
disk in the clear, and certificates of the development CA, whose key lies beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from chassis.pki import holds_development_certificate
from chassis.settings import Settings
from chassis.supervisor import StartError
from stack.credentials import DEMO_FILE

# Whom our end of a link to a network trusts, and what it shows; for all networks, or for one.
CERTIFICATES: Final = ("ca.pem", "ca-*.pem", "switch.pem", "switch-*.pem")


def refuse_what_test_mode_left(settings: Settings, data_dir: Path) -> None:
    """Refuse a data directory of test mode in live mode; in test mode everything passes.

    Raises:
        StartError: names the file. Whether a file is there at all is somebody else's question.
    """
    if settings.mode != "live":
        return
    if (data_dir / DEMO_FILE).exists():
        raise StartError(
            f"{data_dir / DEMO_FILE} holds demo keys: {data_dir} was set up in test mode; "
            "live mode needs a --data-dir of its own"
        )
    for path in sorted(path for name in CERTIFICATES for path in (data_dir / "pki").glob(name)):
        if _is_for_development(path):
            raise StartError(
                f"{path} is of a development PKI, which live mode refuses; "
                "put the files of the network's own CA there"
            )


def _is_for_development(path: Path) -> bool:
    try:
        return holds_development_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StartError(f"{path} cannot be read as certificates: {error}") from error
