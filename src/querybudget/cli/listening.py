"""Whether a command that serves can listen where it is told, said before anything is started."""

from __future__ import annotations

import os
import socket

from querybudget.errors import SetupError


def check_address(host: str, port: int) -> None:
    """Check that nothing else listens there, and that this machine has the address.

    Raises:
        SetupError: It cannot listen there.
    """
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = places[0]
        with socket.socket(family, kind, protocol) as tried:
            if os.name == "posix":  # elsewhere it would take the port from who has it
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise SetupError(
            f"cannot listen on {host}:{port}: {said}; choose others by --host and --port"
        ) from None
