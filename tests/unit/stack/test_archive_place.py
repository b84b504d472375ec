"""Where the archive's key comes from."""

from __future__ import annotations

import threading
from pathlib import Path

from chassis.durable import locked
from chassis.settings.tree import Settings
from ledger.archive.catalog import make_work_folder
from ledger.audit.keys import make_pair
from ledger.audit.notes import ED25519
from stack.archive_place import KEY_LOCK, archive_key_stem, archive_pair
from stack.options import Place

WAIT_S = 0.05


def test_of_two_that_need_the_key_first_one_makes_it(tmp_path: Path) -> None:
    """Whoever comes while another makes it waits, and gets that one."""
    place = Place(Settings(), tmp_path)
    work = make_work_folder(tmp_path, 0)
    log_key = make_pair("log", ED25519, bytes(32)).public
    pairs = []
    second = threading.Thread(target=lambda: pairs.append(archive_pair(place, log_key)))
    with locked(work.parent / KEY_LOCK):
        second.start()
        second.join(WAIT_S)
        assert not archive_key_stem(place).with_suffix(".key").exists()
    second.join()
    assert pairs[0].public == archive_pair(place, log_key).public
    assert pairs[0].public.name == "log/archive"
