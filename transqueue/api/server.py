"""Serving the door with granian: one front process, and behind it one or a few that have the application.

Each process with the application builds everything live itself, after it was spawned, and is killed by the kernel when
the front process ends, however it ends. Half-open and idle connections are closed after a while; slow bodies each keep
a thread, of which there are as many as connections (see `gate`).
"""

from __future__ import annotations

import multiprocessing
import socket
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from ..config import ApiConfig
from ..errors import AddressTaken, TransQueueError
from ..events import Events
from ..process.offspring import end_orphans
from .front import Front
from .loading import CONNECTIONS, Loader
from .renewal import Renewals

HEADER_SECONDS = 10  # for a request's headers to arrive, and for an idle connection to send the next ones
STOP_SECONDS = 3  # for requests under way when the door closes
HEADER_BYTES = 64 * 1024

_STDERR = {"formatter": "generic", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"}
_LOG = {"handlers": {"console": _STDERR, "access": _STDERR}}


def serve(api: ApiConfig, loader: Loader, renewals: Renewals | None = None, *, events: Events) -> None:
    """Serve the application that `loader` returns, until SIGTERM or SIGINT. Call it in the main thread.

    Args:
        loader: a picklable callable; it is called in each process that answers requests, with that one's number.
        renewals: what a SIGHUP puts in its place, without a moment in which nobody listens.

    Raises:
        AddressTaken: the address cannot be listened on.
        PluginBroken: a plugin keeps the serving processes from their work, at their start.
        TransQueueError: the serving processes ended by themselves, and none is left.
    """
    check_free(api.host, api.port)
    multiprocessing.set_start_method("spawn", force=True)
    front = Front(api.threads, renewals, events, "transqueue", **_options(api))
    try:
        front.serve(target_loader=loader, wrap_loader=False)
    except SystemExit as error:
        ended = TransQueueError("The process that answers requests ended by itself; see its last words.")
        if not front.interrupt_signal:
            raise front.blamed or ended from error
    finally:
        end_orphans()


def check_free(host: str, port: int) -> None:
    """The server shares its port with others of its kind, so a second door would silently take half the requests.

    Raises:
        AddressTaken: the address cannot be listened on, and why.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        cure = "Stop what listens there, or set api.port (or api.host) in config.yaml."
        raise AddressTaken(f"Cannot listen on {host}:{port}: {error.strerror}. {cure}") from error


def _options(api: ApiConfig) -> dict[str, Any]:
    return {
        "address": api.host,
        "port": api.port,
        "interface": Interfaces.WSGI,
        "workers": api.processes,
        "blocking_threads": CONNECTIONS,
        "backpressure": CONNECTIONS,
        "http": HTTPModes.http1,
        "http1_settings": HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=HEADER_BYTES),
        "websockets": False,
        "log_level": LogLevels.error,  # below it, only remarks on the number of threads, which is meant
        "log_dictconfig": _LOG,
        "workers_kill_timeout": STOP_SECONDS,
    }
