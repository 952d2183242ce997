"""The settings page and its forms: profile, theme, address, password, sessions, tokens, leaving."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.db import Database
from strvsocial.errors import BadInput, Conflict, StrvError, TooLarge, Unavailable, UnsupportedMedia
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.users import accounts, avatars, profiles, sessions, tokens
from strvsocial.users.cookies import clear_cookie
from strvsocial.users.input import AccountDeletion, EmailChange, PasswordChange, ProfileChange
from strvsocial.users.logins import limit_confirmations
from strvsocial.web.forms import safe_path, see, sent_values
from strvsocial.web.input import read_input
from strvsocial.web.rendering import PageResponse, is_fragment, page
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]
Db = NamedDependency[AsyncSession]
Reader = NamedDependency[AsyncConnection]
Me = NamedDependency[Viewer]
MaybeViewer = NamedDependency[Viewer | None]
SiteDatabase = NamedDependency[Database]

YEAR = 365 * 86_400
_SECTIONS = frozenset({"profile", "avatar", "look", "email", "password", "sessions", "tokens"})


class ThemeChoice(Struct, kw_only=True):
    theme: Annotated[str, Meta(max_length=32)]
    next: str = "/"


class TokenName(Struct, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=80)]


@get("/settings", name="users.settings.show", include_in_schema=False)
async def show(
    request: AnyRequest, reader: Reader, me: Me, saved: Annotated[str, QueryParameter(max_length=20)] = ""
) -> PageResponse:
    return await _show(request, reader, me, saved=saved if saved in _SECTIONS else "")


@post("/settings/profile", name="users.settings.profile", include_in_schema=False, status_code=200)
async def change_profile(request: AnyRequest, db: Db, me: Me) -> Response[Any]:
    try:
        change = await read_input(request, ProfileChange)
        await accounts.update_profile(
            db, me, username=change.username, display_name=change.display_name, bio=change.bio
        )
    except (BadInput, Conflict) as error:
        return await _refuse(request, db, me, "profile", error)
    return see("/settings?saved=profile#profile")


@post(
    "/settings/avatar",
    name="users.settings.avatar",
    include_in_schema=False,
    status_code=200,
    request_max_body_size=None,
)
async def change_avatar(
    request: AnyRequest, db: Db, storage: NamedDependency[Storage], settings: NamedDependency[Settings], me: Me
) -> Response[Any]:
    """Takes a picture; a worker makes it the person's within seconds."""
    try:
        file = await avatars.receive_avatar(request, storage, settings)
    except (BadInput, TooLarge, UnsupportedMedia, Unavailable) as error:
        error.fields = error.fields or {"file": error.message}
        return await _refuse(request, db, me, "avatar", error)
    await avatars.change_avatar(db, me, file)
    return see("/settings?saved=avatar#avatar")


@post("/settings/avatar/remove", name="users.settings.remove_avatar", include_in_schema=False, status_code=200)
async def remove_avatar(db: Db, me: Me) -> Response[Any]:
    await avatars.remove_avatar(db, me)
    return see("/settings?saved=avatar#avatar")


@post("/theme", name="users.settings.theme", include_in_schema=False, status_code=200)
async def choose_theme(request: AnyRequest, db: Db, viewer: MaybeViewer) -> Response[Any]:
    """Keeps the choice on the account, and in a cookie for when nobody is signed in."""
    choice = await read_input(request, ThemeChoice)
    if choice.theme not in request.app.state.themes:
        raise BadInput(fields={"theme": "There is no such theme."})
    if viewer is not None:
        await accounts.update_profile(db, viewer, theme=choice.theme)
    answer: Response[Any] = Response(b"", status_code=204) if is_fragment(request) else see(safe_path(choice.next))
    secure = request.app.state.settings.site_url.startswith("https://")
    answer.set_cookie(Cookie(key="theme", value=choice.theme, max_age=YEAR, path="/", samesite="lax", secure=secure))
    return answer


@post("/settings/email", name="users.settings.email", include_in_schema=False, status_code=200)
async def change_email(request: AnyRequest, db: Db, database: SiteDatabase, me: Me) -> Response[Any]:
    await limit_confirmations(request)
    try:
        change = await read_input(request, EmailChange)
        await accounts.change_email(database, db, me, password=change.password, email=change.email)
    except (BadInput, Conflict) as error:
        return await _refuse(request, db, me, "email", error)
    return see("/settings?saved=email#email")


@post("/settings/password", name="users.settings.password", include_in_schema=False, status_code=200)
async def change_password(request: AnyRequest, db: Db, database: SiteDatabase, me: Me) -> Response[Any]:
    await limit_confirmations(request)
    try:
        change = await read_input(request, PasswordChange)
        await accounts.change_password(database, db, me, password=change.password, new_password=change.new_password)
    except BadInput as error:
        return await _refuse(request, db, me, "password", error)
    return see("/settings?saved=password#password")


@post(
    "/settings/sessions/{session_id:int}/end",
    name="users.settings.end_session",
    include_in_schema=False,
    status_code=200,
)
async def end_session(db: Db, me: Me, session_id: FromPath[int]) -> Response[Any]:
    await sessions.end(db, me, session_id)
    return see("/settings?saved=sessions#sessions")


@post("/settings/tokens", name="users.settings.make_token", include_in_schema=False, status_code=200)
async def make_token(request: AnyRequest, db: Db, me: Me) -> Response[Any]:
    """Shows the new token this once: only its hash is kept."""
    try:
        sent = await read_input(request, TokenName)
        token = await tokens.create(db, me.id, sent.name)
    except BadInput as error:
        return await _refuse(request, db, me, "tokens", error)
    return await _show(request, await db.connection(), me, new_token=token, headers={"Cache-Control": "no-store"})


@post("/settings/tokens/{token_id:int}/end", name="users.settings.end_token", include_in_schema=False, status_code=200)
async def end_token(db: Db, me: Me, token_id: FromPath[int]) -> Response[Any]:
    await tokens.end_own(db, me, token_id)
    return see("/settings?saved=tokens#tokens")


@post("/settings/delete", name="users.settings.delete_account", include_in_schema=False, status_code=200)
async def delete_account(
    request: AnyRequest, db: Db, database: SiteDatabase, settings: NamedDependency[Settings], me: Me
) -> Response[Any]:
    await limit_confirmations(request)
    try:
        deletion = await read_input(request, AccountDeletion)
        await accounts.delete_account(database, db, me, password=deletion.password)
    except BadInput as error:
        return await _refuse(request, db, me, "delete", error)
    answer = see("/")
    answer.set_cookie(clear_cookie(settings))
    return answer


async def _refuse(request: AnyRequest, db: AsyncSession, me: Viewer, section: str, error: StrvError) -> PageResponse:
    return await _show(
        request,
        await db.connection(),
        me,
        status=error.status,
        failed=section,
        message=error.message,
        fields=error.fields or {},
        values={} if section == "avatar" else await sent_values(request),
    )


async def _show(
    request: AnyRequest, reader: AsyncConnection, me: Viewer, *, status: int = 200, **context: Any
) -> PageResponse:
    blank: dict[str, Any] = {
        "failed": "",
        "saved": "",
        "message": "",
        "fields": {},
        "values": {},
        "new_token": "",
        "headers": None,
    }
    return page(
        "users/settings/show.html",
        status=status,
        user=await profiles.get_me(reader, request.app.state.settings, me),
        sessions=await sessions.list_sessions(reader, me),
        tokens=await tokens.list_tokens(reader, me),
        **{**blank, **context},
    )


HANDLERS: list[ControllerRouterHandler] = [
    show,
    change_profile,
    change_avatar,
    remove_avatar,
    choose_theme,
    change_email,
    change_password,
    end_session,
    make_token,
    end_token,
    delete_account,
]
