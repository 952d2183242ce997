"""A bare Litestar application: one route that returns the bytes of the file that BARE_BODY names."""

from __future__ import annotations

import os
from pathlib import Path

from litestar import Litestar, MediaType, get

BODY = Path(os.environ["BARE_BODY"]).read_bytes()


@get("/", media_type=MediaType.HTML)
async def index() -> bytes:
    return BODY


app = Litestar([index])
