"""Every module here goes through PgBouncer, which lends four connections."""

from __future__ import annotations

import pytest
from tests.pgbouncer import Pooler


@pytest.fixture(scope="module")
def way(pooler: Pooler) -> Pooler:
    return pooler
