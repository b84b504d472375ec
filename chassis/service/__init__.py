"""The child's side of every process: launched, hardened, ready, drained."""

from chassis.service.hardening import forbid_core_dumps
from chassis.service.launch import (
    Identity,
    LaunchDocument,
    LaunchError,
    encode_launch_document,
    read_launch_document,
)
from chassis.service.run import Prepare, Serve, Service, run_service

__all__ = [
    "Identity",
    "LaunchDocument",
    "LaunchError",
    "Prepare",
    "Serve",
    "Service",
    "encode_launch_document",
    "forbid_core_dumps",
    "read_launch_document",
    "run_service",
]
