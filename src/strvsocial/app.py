"""The web process: `uvicorn --factory strvsocial.app:create_app`. Routes are the literal lists below."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from litestar import Litestar
from litestar.types import ControllerRouterHandler

from strvsocial.db import Database
from strvsocial.embeddings.index import VectorIndex
from strvsocial.jobs import Doorbell
from strvsocial.live import Listener
from strvsocial.logs import configure_logs
from strvsocial.settings import Settings, get_settings
from strvsocial.storage import open_storage

PAGES: list[ControllerRouterHandler] = []
API: list[ControllerRouterHandler] = []
MEDIA: list[ControllerRouterHandler] = []
OPERATIONS: list[ControllerRouterHandler] = []


@asynccontextmanager
async def open_services(app: Litestar) -> AsyncIterator[None]:
    """Opens what requests use and closes it when the process ends."""
    settings: Settings = app.state.settings
    async with AsyncExitStack() as stack:
        doorbell = Doorbell(settings.redis_url)
        stack.push_async_callback(doorbell.aclose)
        app.state.database = Database(
            settings.database_url,
            pool_size=settings.database_pool_size,
            behind_pooler=settings.database_direct_url is not None,
            ring=doorbell.ring,
        )
        stack.push_async_callback(app.state.database.aclose)
        app.state.storage = await stack.enter_async_context(open_storage(settings))
        app.state.index = VectorIndex(
            settings.database_url, settings.redis_url, behind_pooler=settings.database_direct_url is not None
        )
        app.state.index.start()
        stack.push_async_callback(app.state.index.aclose)
        app.state.listener = Listener(settings.direct_url, on_vectors=app.state.index.wake)
        app.state.listener.start()
        stack.push_async_callback(app.state.listener.aclose)
        yield


def create_app(settings: Settings | None = None) -> Litestar:
    """The ASGI application."""
    settings = settings or get_settings()
    configure_logs(settings)
    app = Litestar(route_handlers=[*PAGES, *API, *MEDIA, *OPERATIONS], lifespan=[open_services])
    app.state.settings = settings
    return app
