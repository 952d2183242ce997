"""What handlers may ask for by name: the keys of `DEPENDENCIES`.

`db` is the request's one transaction. It is committed after the handler ran and its template was rendered, and before
the first byte is sent: a commit that fails is an honest error page. A handler asks for `db` or `reader`, rarely both:
each holds a connection of the pool from its first statement on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from litestar import Request
from litestar.di import NamedDependency, Provide
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.db import Database
from strvsocial.errors import NotFound, NotSignedIn
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.web.rendering import viewer_of
from strvsocial.web.shares import Shares
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]


async def provide_db(request: AnyRequest) -> AsyncGenerator[AsyncSession, None]:
    database: Database = request.app.state.database
    async with database.transaction() as db:
        yield db


async def provide_reader(request: AnyRequest) -> AsyncGenerator[AsyncConnection, None]:
    database: Database = request.app.state.database
    shares: Shares = request.app.state.shares
    async with shares.of(request.scope["path_template"]), database.read() as reader:
        yield reader


async def provide_viewer(request: AnyRequest) -> Viewer | None:
    viewer: Viewer | None = viewer_of(request.scope)
    return viewer


async def provide_me(viewer: NamedDependency[Viewer | None]) -> Viewer:
    if viewer is None:
        raise NotSignedIn
    return viewer


async def provide_admin(me: NamedDependency[Viewer]) -> Viewer:
    if not me.is_admin:
        raise NotFound  # What admins have is not for others to see.
    return me


async def provide_database(request: AnyRequest) -> Database:
    database: Database = request.app.state.database
    return database


async def provide_settings(request: AnyRequest) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def provide_storage(request: AnyRequest) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


async def provide_index(request: AnyRequest) -> Any:
    return request.app.state.index


async def provide_ranked_lists(request: AnyRequest) -> Any:
    return request.app.state.ranked_lists


DEPENDENCIES: dict[str, Provide] = {
    "db": Provide(provide_db),
    "reader": Provide(provide_reader),
    "viewer": Provide(provide_viewer),
    "me": Provide(provide_me),
    "admin": Provide(provide_admin),
    "database": Provide(provide_database),
    "settings": Provide(provide_settings),
    "storage": Provide(provide_storage),
    "index": Provide(provide_index),
    "ranked_lists": Provide(provide_ranked_lists),
}
