"""The nginx that we ship, for real: what it sends itself, what it hands on, and what it keeps to itself."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.front_door import serving
from tests.nginx import Nginx, running_nginx

from strvsocial.settings import Settings


@pytest.fixture(scope="module")
def nginx(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    with serving(settings, STRV_TRUSTED_PROXIES="127.0.0.1") as (web, _), running_nginx(folder, web) as nginx:
        yield nginx


def test_pages_come_through(nginx: Nginx) -> None:
    answer = httpx.get(f"{nginx.address}/explore", headers={"X-Request-ID": "from-the-outside"})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == "from-the-outside"
    assert nginx.find_logged("from-the-outside")["path"] == "/explore"
