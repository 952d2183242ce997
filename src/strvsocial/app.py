"""The web process: `uvicorn --factory strvsocial.app:create_app`. Routes are the literal lists below.

Handlers in API have paths below /api/v1 (`@get("/posts/{post_id:str}")`); the others name their whole path.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import CacheControlHeader
from litestar.static_files import create_static_files_router
from litestar.template import TemplateConfig
from litestar.types import ControllerRouterHandler

from strvsocial.content import api as content_api
from strvsocial.content import captions_api, captions_pages, streams, writing_pages
from strvsocial.content import pages as content_pages
from strvsocial.content.renditions import find_rendition
from strvsocial.db import PEOPLE_WAIT
from strvsocial.embeddings.index import VectorIndex
from strvsocial.embeddings.spaces import find_trouble
from strvsocial.live import Listener
from strvsocial.logs import configure_logs
from strvsocial.media import api as media_api
from strvsocial.media import serving
from strvsocial.operations import media_pages as operations_media_pages
from strvsocial.operations import pages as operations_pages
from strvsocial.operations import people_pages as operations_people_pages
from strvsocial.operations.heartbeats import Heartbeat
from strvsocial.operations.request_rates import RequestRates
from strvsocial.operations.watching import watched
from strvsocial.recommendations import api as recommendations_api
from strvsocial.recommendations import pages as recommendations_pages
from strvsocial.recommendations.ranked_lists import RankedLists
from strvsocial.search import api as search_api
from strvsocial.search import pages as search_pages
from strvsocial.services import open_services
from strvsocial.settings import Settings, get_settings
from strvsocial.storage.health import StorageHealth
from strvsocial.themes.catalogue import NAMES, THEMES
from strvsocial.users import api as users_api
from strvsocial.users import pages as users_pages
from strvsocial.users import settings_pages
from strvsocial.users.authentication import Authentication
from strvsocial.users.events import stream_events
from strvsocial.users.watch import Watch
from strvsocial.web import health
from strvsocial.web.dependencies import DEPENDENCIES
from strvsocial.web.failures import Failures, render
from strvsocial.web.headers import RequestIds, SecureHeaders
from strvsocial.web.limits import Limits, keep_to_allowance
from strvsocial.web.load import Load
from strvsocial.web.metrics import CountRequests, Metrics, show_metrics
from strvsocial.web.openapi import create_openapi_config
from strvsocial.web.origins import Origins
from strvsocial.web.records import RecordRequests
from strvsocial.web.rendering import STATIC, create_template_engine
from strvsocial.web.shares import Shares
from strvsocial.web.shedding import Shedding
from strvsocial.web.shutdown import Draining, Shutdown

PAGES: list[ControllerRouterHandler] = [
    *users_pages.HANDLERS,
    *settings_pages.HANDLERS,
    *content_pages.HANDLERS,
    *captions_pages.HANDLERS,
    *writing_pages.HANDLERS,
    *recommendations_pages.HANDLERS,
    *search_pages.HANDLERS,
    *operations_pages.HANDLERS,
    *operations_people_pages.HANDLERS,
    *operations_media_pages.HANDLERS,
]
API: list[ControllerRouterHandler] = [
    *users_api.HANDLERS,
    *media_api.HANDLERS,
    *content_api.HANDLERS,
    *captions_api.API,
    *recommendations_api.HANDLERS,
    *search_api.HANDLERS,
]
MEDIA: list[ControllerRouterHandler] = [*captions_api.MEDIA, *streams.MEDIA, *serving.HANDLERS]
OPERATIONS: list[ControllerRouterHandler] = [*health.HANDLERS, show_metrics, stream_events]

MAX_BODY_BYTES = 1_000_000
"""Of ordinary requests; routes that take files say their own `request_max_body_size`."""


@asynccontextmanager
async def open_site(app: Litestar) -> AsyncIterator[None]:
    """Opens what requests use and closes it when the process ends."""
    settings: Settings = app.state.settings
    async with AsyncExitStack() as stack:
        stack.enter_context(watched(settings, "web"))
        opened = open_services(settings, pool_size=settings.database_pool_size, patience=PEOPLE_WAIT)
        _, app.state.database, app.state.storage = await stack.enter_async_context(opened)
        pool: Any = app.state.database.engine.pool
        app.state.load.start(lambda: pool.checkedout() >= pool.size())
        stack.push_async_callback(app.state.load.aclose)
        app.state.storage_health = StorageHealth(app.state.storage)
        app.state.limits = Limits(settings.redis_url)
        stack.push_async_callback(app.state.limits.aclose)
        app.state.index = VectorIndex(settings)
        app.state.index.start()
        stack.push_async_callback(app.state.index.aclose)
        app.state.ranked_lists = await stack.enter_async_context(RankedLists(settings.redis_url))
        app.state.listener = Listener(settings.direct_url, on_vectors=app.state.index.wake)
        app.state.listener.start()
        stack.push_async_callback(app.state.listener.aclose)
        app.state.watch = Watch(app.state.database)
        app.state.watch.start()
        stack.push_async_callback(app.state.watch.aclose)
        rates = RequestRates(app.state.metrics)
        heartbeat = Heartbeat(app.state.database, "web", lambda: {**rates.describe(), **_describe(app)})
        heartbeat.start()
        stack.push_async_callback(heartbeat.aclose)
        stack.enter_context(app.state.shutdown.listening())
        yield


def _describe(app: Litestar) -> dict[str, Any]:
    """What this process shows to admins and to the doctor."""
    index = app.state.index.status()
    held = sum(space.count for space in index.spaces)
    return {
        "streams": app.state.listener.subscriber_count,
        "index": {"lag": index.lag_seconds, "vectors": held if index.ready else None},
    }


def create_app(settings: Settings | None = None) -> Litestar:
    """The ASGI application."""
    settings = settings or get_settings()
    configure_logs(settings, "web")
    app = Litestar(
        route_handlers=[*PAGES, Router("/api/v1", route_handlers=API), *MEDIA, *OPERATIONS, *_static_files()],
        lifespan=[open_site],
        guards=[keep_to_allowance],
        dependencies=DEPENDENCIES,
        exception_handlers={Exception: render},
        template_config=TemplateConfig(instance=create_template_engine(themes=THEMES)),
        openapi_config=create_openapi_config(),
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
    )
    app.state.settings = settings
    app.state.find_rendition = find_rendition
    app.state.find_model_trouble = find_trouble
    app.state.themes = NAMES
    app.state.metrics = Metrics()
    app.state.probes = health.Probes()
    app.state.shares = Shares(max(1, settings.database_pool_size * 6 // 10) if settings.max_requests else 0)
    app.state.load = Load(settings.max_requests)
    app.state.shutdown = Shutdown(settings.drain_seconds)
    wrap(app, settings)
    return app


def wrap(app: Litestar, settings: Settings) -> None:
    """Puts around the router what must hold for every answer; Litestar's own middlewares skip unknown addresses."""
    inner = Authentication(app.asgi_handler, settings)
    guarded = Failures(Origins(inner, site_url=settings.site_url))
    shedding = Shedding(guarded, app.state.load, app.state.metrics, max_streams=settings.max_streams)
    https = settings.site_url.startswith("https://")
    counted = CountRequests(SecureHeaders(shedding, https=https), app.state.metrics)
    app.asgi_handler = RequestIds(RecordRequests(Draining(counted, app.state.shutdown)))


def _static_files() -> list[Router]:
    forever = CacheControlHeader(public=True, max_age=31_536_000, immutable=True)
    an_hour = CacheControlHeader(public=True, max_age=3_600)
    built = create_static_files_router("/static/dist", [STATIC / "dist"], cache_control=forever, name="static.dist")
    return [built, create_static_files_router("/static", [STATIC], cache_control=an_hour, name="static")]
