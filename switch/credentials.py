"""What we prove ourselves with to one network, read from files and read again when they change.

One client certificate per network: networks issue their own. The files lie in `<data-dir>/pki/`:

    switch-<network>.pem, switch-<network>.key    ours; else switch.pem and switch.key, for all
    ca-<network>.pem                              whom we trust there; else ca.pem

Files are replaced one by one, so certificate and key may not belong together for a moment. What
cannot be used now is tried again the next time; the context in use stays until a new one has proven
itself (`chassis.tls`).
"""

from __future__ import annotations

from pathlib import Path

import attrs
from cryptography import x509

from chassis.tls import TLSFilesError, client_context

Stamp = tuple[tuple[str, int, int, int], ...]


@attrs.frozen
class ClientFiles:
    """The three files for one network, chosen by what is there."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def of(cls, pki: Path, network: str) -> ClientFiles:
        """A file of the network's own comes before the one for all."""
        own = pki / f"switch-{network}.pem"
        ca = pki / f"ca-{network}.pem"
        stem = own.stem if own.exists() else "switch"
        return cls(
            ca=ca if ca.exists() else pki / "ca.pem",
            certificate=pki / f"{stem}.pem",
            key=pki / f"{stem}.key",
        )

    def stamp(self) -> Stamp:
        """What changes when a file does: its path, inode, size and time; a missing file has none.

        The inode tells a file that was renamed into place within one tick of the clock.
        """
        stamps = []
        for path in (self.ca, self.certificate, self.key):
            try:
                status = path.stat()
            except OSError:
                stamps.append((str(path), 0, 0, 0))
            else:
                stamps.append((str(path), status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(stamps)


class Credentials:
    """The client context for one network, always one that has proven itself.

    Args:
        pki: the folder of the files.
        network: whose.

    Attributes:
        context: to connect with.
        expires_at_s: when our certificate does, seconds since 1970.

    Raises:
        TLSFilesError: there is nothing usable to begin with.
    """

    def __init__(self, pki: Path, network: str) -> None:
        self._pki = pki
        self._network = network
        self._load()

    def refresh(self) -> bool:
        """Load the files if they have changed; whether they had.

        Raises:
            TLSFilesError: what is there now is not usable; the context stays as it was.
        """
        if ClientFiles.of(self._pki, self._network).stamp() == self._stamp:
            return False
        self._load()
        return True

    def _load(self) -> None:
        files = ClientFiles.of(self._pki, self._network)
        stamp = files.stamp()  # before they are read: a change meanwhile is seen the next time
        context = client_context(ca=files.ca, certificate=files.certificate, key=files.key)
        try:
            leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        except (OSError, ValueError) as error:
            raise TLSFilesError(f"{files.certificate}: {error}") from None
        self._stamp = stamp
        self.context = context
        self.expires_at_s = int(leaf.not_valid_after_utc.timestamp())
