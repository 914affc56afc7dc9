"""What ships about model servers: a YAML file for each, checked as a policy is.

`server:` in a policy names them. Each file says which paths ask a model and how each is read, which
paths monitors ask, and where callers put their keys. `default` holds the paths that are read
whatever the policy says, because no two servers mean different things by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated

from msgspec import Struct

from querybudget.policy.fields import Words, doc
from querybudget.policy.routes import GenericRoute

if TYPE_CHECKING:
    from querybudget.policy.routes import Server

__all__ = ["DEFAULT", "ServerFile", "probes", "routes", "server_file"]

DEFAULT = "default"


class ServerFile(Struct, frozen=True):
    """What one server takes and answers."""

    keys: Annotated[Words, doc("Where it takes callers' keys from, in its own order.")] = ()
    first: Annotated[bool, doc("Whether that order says which of two keys counts.")] = False
    probes: Annotated[Words, doc("Paths of health, version and metrics.")] = ()
    routes: Annotated[tuple[GenericRoute, ...], doc("Paths that ask a model.")] = ()
    unread: Annotated[Words, doc("Paths that ask a model and that no adapter reads.")] = ()
    streams: Annotated[str, doc("How it streams, and when it reports usage.")] = ""


@cache
def server_file(name: str) -> ServerFile:
    """Return what ships about a server, or as `DEFAULT` about all of them.

    Raises:
        PolicyError: The file is wrong.
        FileNotFoundError: There is no such server.
    """
    # Imported here: a policy that is made in Python needs no YAML before it is used.
    from importlib.resources import files  # noqa: PLC0415

    from querybudget.policy.decode import read  # noqa: PLC0415
    from querybudget.policy.diagnostics import Problems  # noqa: PLC0415
    from querybudget.policy.yaml_nodes import from_text  # noqa: PLC0415

    problems = Problems(f"server:{name}")
    text = files(__name__).joinpath(f"{name}.yaml").read_text("utf-8")
    written = read(ServerFile, from_text(text, {}, problems), problems)
    problems.stop_if_any()
    return written


def routes(names: Sequence[Server]) -> tuple[GenericRoute, ...]:
    """Return the routes of servers, in their order."""
    return tuple(route for name in names for route in server_file(name).routes)


def probes(names: Sequence[Server]) -> tuple[str, ...]:
    """Return the paths that monitors ask of these servers; of every server, if none is named."""
    known = [server_file(name).probes for name in names or (DEFAULT,)]
    return tuple(dict.fromkeys(path for each in known for path in each))
