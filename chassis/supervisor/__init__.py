"""Runs the processes of a stack on one machine: order, sockets, users, restarts, the end."""

from chassis.supervisor.errors import StartError
from chassis.supervisor.events import UnitPlan
from chassis.supervisor.folders import (
    DirectoryLock,
    choose_runtime_folder,
    make_folder,
    make_runtime_folder,
    process_is_alive,
)
from chassis.supervisor.listeners import Listener, bind_tcp, bind_unix
from chassis.supervisor.process import ProcessSpec, ProcessUnit
from chassis.supervisor.run import Publish, supervise
from chassis.supervisor.units import Ending, Ready, Resource, ResourceUnit, StepUnit, Unit
from chassis.supervisor.users import SUPERVISOR_ROLE, Users, assign_users, find_closed_folder

__all__ = [
    "SUPERVISOR_ROLE",
    "DirectoryLock",
    "Ending",
    "Listener",
    "ProcessSpec",
    "ProcessUnit",
    "Publish",
    "Ready",
    "Resource",
    "ResourceUnit",
    "StartError",
    "StepUnit",
    "Unit",
    "UnitPlan",
    "Users",
    "assign_users",
    "bind_tcp",
    "bind_unix",
    "choose_runtime_folder",
    "find_closed_folder",
    "make_folder",
    "make_runtime_folder",
    "process_is_alive",
    "supervise",
]
