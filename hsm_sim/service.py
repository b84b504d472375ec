"""The HSM process: opens the key store, serves its socket, keeps the keys rotating.

Each worker is a process with a socket of its own; all share one key store. Worker 0 rotates, and
takes in the development keys of simulated networks.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import trio

from chassis import clock as wall_clock
from chassis.log import get_logger
from chassis.service import Service
from chassis.settings.tree import HSM
from hsm_sim.audit import AuditError
from hsm_sim.commands import Commands
from hsm_sim.development import refuse_development_keks, take_development_keks
from hsm_sim.keys import due, slots
from hsm_sim.keystore import Keystore, open_keystore
from hsm_sim.metrics import register
from hsm_sim.network_keystore import NetworkKeystore
from hsm_sim.policy import Policy
from hsm_sim.server import HSMServer

_log = get_logger(__name__)


async def serve(service: Service) -> None:
    """Run one worker until it is asked to drain.

    Raises:
        KeystoreError: the key store cannot be used, at the start or later.
    """
    settings = service.settings.hsm
    started_s = int(wall_clock.now_s())
    store = open_keystore(
        service.data_dir / "hsm",
        slots(settings),
        now_s=started_s,
        destroyed_kept_s=settings.destroyed_keys_kept_s,
        may_generate_lmk=service.settings.mode == "test",
        worker=service.index,
        audit_file_bytes=settings.audit_file_bytes,
    )
    if service.index == 0:
        rotate_if_due(store, settings, now_s=started_s)
    network_keys = NetworkKeystore(store)
    if service.settings.mode == "live":
        refuse_development_keks(network_keys)
    elif service.index == 0:
        take_development_keks(network_keys, service.data_dir, service.settings, now_s=started_s)
    policy = Policy(service.allowed_uids)
    commands = Commands(
        store=store,
        network_keys=network_keys,
        policy=policy,
        settings=settings,
        random=os.urandom,
        now_s=started_s,
    )
    server = HSMServer(
        commands=commands, policy=policy, settings=settings, limits=service.settings.mux
    )
    register(service.metrics, commands.counters, server.mux.counters)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, service.listeners["mux"])
        if service.index == 0:
            nursery.start_soon(keep_rotating, store, network_keys, settings, wall_clock.now_s)
        service.ready()
        async with trio.open_nursery() as working:
            working.start_soon(server.work)
            working.start_soon(server.work_on_releases)
            await service.draining.wait()
            server.drain()
        with trio.move_on_after(settings.drain_linger_s):
            await server.gone()
        nursery.cancel_scope.cancel()


async def keep_rotating(
    store: Keystore, network_keys: NetworkKeystore, settings: HSM, clock: Callable[[], float]
) -> None:
    """Look every `rotation_check_s` whether a key is due, by the wall clock, until canceled."""
    while True:
        await trio.sleep(settings.rotation_check_s)
        now_s = int(clock())
        rotate_if_due(store, settings, now_s=now_s)
        destroy_expired(network_keys, now_s=now_s)


def destroy_expired(network_keys: NetworkKeystore, *, now_s: int) -> None:
    """Destroy on disk the session keys whose overlap is over; nobody can use them any more.

    Where it fails they stay on disk, and the next look tries again.

    Raises:
        KeystoreError: the keys themselves are unusable.
    """
    try:
        network_keys.sweep(now_s=now_s)
    except (AuditError, OSError) as error:
        _log.error("session_keys_not_destroyed", error=str(error))


def rotate_if_due(store: Keystore, settings: HSM, *, now_s: int) -> bool:
    """Rotate if something is due, and say whether the keys are as they should be now.

    Writing stops the worker for some milliseconds, once a day. Where it fails (a full disk, a log
    that cannot be continued) the keys stay as they are, cards are still opened, and the next look
    tries again.

    Raises:
        KeystoreError: the store itself is unusable.
    """
    wanted = slots(settings)
    kept_s = settings.destroyed_keys_kept_s
    if not due(store.records, wanted, now_s=now_s, destroyed_kept_s=kept_s):
        return True
    try:
        done = store.rotate(wanted, now_s=now_s, destroyed_kept_s=kept_s)
    except (AuditError, OSError) as error:
        _log.error("key_rotation_failed", error=str(error))
        return False
    _log.info(
        "keys_rotated",
        created=len(done.create),
        destroyed=len(done.destroy),
        forgotten=len(done.forget),
    )
    return True
