"""The page on servers says of each preset what it brings, and what it does not cover."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from querybudget.policy.routes import Server
from querybudget.policy.servers import server_file

PAGE = (Path(__file__).parents[1] / "docs" / "servers.md").read_text()
TABLE = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE))


@pytest.mark.parametrize("server", get_args(Server))
def test_a_preset_has_its_row_and_what_it_does_not_read_is_on_the_page(server: Server) -> None:
    assert server in TABLE
    for path in server_file(server).unread:
        assert f"`{path}`" in PAGE


@pytest.mark.parametrize("server", get_args(Server))
def test_each_path_in_a_preset_s_row_is_read(server: Server) -> None:
    routes = {
        route.path.lstrip("*").replace("/models/{model}", "")
        for route in server_file(server).routes
    }
    for path in re.findall(r"`([/:][^`]*)`", TABLE[server]):
        assert any(route == path or route.startswith(path + "/") for route in routes), path
