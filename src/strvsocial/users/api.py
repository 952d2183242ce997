"""JSON of people: accounts, tokens, one's own profile, others' profiles, following."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.db import Database
from strvsocial.errors import BadInput, Forbidden
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.users import accounts, avatars, follows, profiles, tokens
from strvsocial.users.cookies import clear_cookie
from strvsocial.users.input import AccountDeletion, EmailChange, Login, PasswordChange, ProfileChange, SignUp
from strvsocial.users.logins import limit_confirmations, limit_sign_ups, log_in
from strvsocial.users.views import MeView, TokenView, UserView
from strvsocial.web.input import read_input
from strvsocial.web.openapi import MULTIPART, says, takes
from strvsocial.web.paging import Cursor, Limit, Page
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]
Db = NamedDependency[AsyncSession]
Reader = NamedDependency[AsyncConnection]
Me = NamedDependency[Viewer]
MaybeViewer = NamedDependency[Viewer | None]
SiteSettings = NamedDependency[Settings]
Username = FromPath[str]

FILE_FORM = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {"file": {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, AVIF or GIF."}},
}


@post("/accounts", tags=["accounts"], opt=takes(SignUp), summary="Sign up")
async def create_account(request: AnyRequest, db: Db) -> UserView:
    """Makes an account. Every bad field is named at once; a taken name or address is a 409 with fields."""
    await limit_sign_ups(request)
    sign_up = await read_input(request, SignUp)
    user = await accounts.create_account(db, username=sign_up.username, email=sign_up.email, password=sign_up.password)
    return await profiles.get_user(await db.connection(), None, user.username)


@post("/tokens", tags=["accounts"], opt=takes(Login), summary="Sign in")
async def create_token(request: AnyRequest, db: Db) -> TokenView:
    """A bearer token for an address and a password. Ten wrong tries in fifteen minutes are too many."""
    login = await read_input(request, Login)
    user_id = await log_in(request, login.email, login.password)
    return TokenView(await tokens.create(db, user_id, request.headers.get("user-agent", "")))


@delete("/tokens/current", tags=["accounts"], summary="Sign out")
async def delete_token(db: Db, me: Me) -> None:
    """Ends the bearer token that this request came with."""
    if me.token_id is None:
        raise Forbidden("This request came with a cookie, not with a token.")
    await tokens.end(db, me.token_id)


@get("/me", tags=["me"], summary="Who am I")
async def get_me(reader: Reader, settings: SiteSettings, me: Me) -> MeView:
    """The signed-in person."""
    return await profiles.get_me(reader, settings, me)


@patch("/me", tags=["me"], opt=takes(ProfileChange), summary="Change my profile")
async def change_profile(request: AnyRequest, db: Db, settings: SiteSettings, me: Me) -> MeView:
    """Changes what is sent and leaves the rest."""
    change = await read_input(request, ProfileChange)
    themes: frozenset[str] = request.app.state.themes
    if isinstance(change.theme, str) and change.theme not in themes:
        raise BadInput(fields={"theme": f"There is {', '.join(sorted(themes))}."})
    await accounts.update_profile(
        db, me, username=change.username, display_name=change.display_name, bio=change.bio, theme=change.theme
    )
    return await profiles.get_me(await db.connection(), settings, me)


@put("/me/password", tags=["me"], status_code=204, opt=takes(PasswordChange), summary="Change my password")
async def change_password(request: AnyRequest, db: Db, database: NamedDependency[Database], me: Me) -> None:
    """Sets a new password and ends every other session and token."""
    await limit_confirmations(request)
    change = await read_input(request, PasswordChange)
    await accounts.change_password(database, db, me, password=change.password, new_password=change.new_password)


@put("/me/email", tags=["me"], status_code=204, opt=takes(EmailChange), summary="Change my e-mail address")
async def change_email(request: AnyRequest, db: Db, database: NamedDependency[Database], me: Me) -> None:
    """Sets a new e-mail address."""
    await limit_confirmations(request)
    change = await read_input(request, EmailChange)
    await accounts.change_email(database, db, me, password=change.password, email=change.email)


@delete("/me", tags=["me"], opt=takes(AccountDeletion), summary="Delete my account")
async def delete_me(
    request: AnyRequest, db: Db, database: NamedDependency[Database], settings: SiteSettings, me: Me
) -> Response[None]:
    """Hides the account at once and removes everything of it soon after."""
    await limit_confirmations(request)
    deletion = await read_input(request, AccountDeletion)
    await accounts.delete_account(database, db, me, password=deletion.password)
    return Response(None, status_code=204, cookies=[clear_cookie(settings)])


@put(
    "/me/avatar",
    tags=["me"],
    request_max_body_size=None,
    opt={**takes(FILE_FORM, MULTIPART), **says({"408": "The body stopped before its end."})},
    summary="Change my picture",
)
async def change_avatar(
    request: AnyRequest, db: Db, storage: NamedDependency[Storage], settings: SiteSettings, me: Me
) -> MeView:
    """Takes a picture; a worker cuts it square and makes it mine within seconds (event `avatar.ready`)."""
    file = await avatars.receive_avatar(request, storage, settings)
    await avatars.change_avatar(db, me, file)
    return await profiles.get_me(await db.connection(), settings, me)


@delete("/me/avatar", tags=["me"], summary="Remove my picture")
async def remove_avatar(db: Db, me: Me) -> None:
    """Takes my picture away; the default one is shown instead."""
    await avatars.remove_avatar(db, me)


@get("/users", tags=["people"], summary="Find people")
async def find_users(
    reader: Reader,
    viewer: MaybeViewer,
    q: Annotated[str, QueryParameter(max_length=100, description="Part of a name.")] = "",
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[UserView]:
    """People whose name resembles `q`, the nearest first; without it the newest."""
    return await profiles.find_users(reader, viewer, q, cursor=cursor, limit=limit)


@get("/users/{username:str}", tags=["people"], summary="A person")
async def get_user(reader: Reader, viewer: MaybeViewer, username: Username) -> UserView:
    """The person of this name, in any case."""
    return await profiles.get_user(reader, viewer, username)


@put("/users/{username:str}/follow", tags=["people"], status_code=204, summary="Follow")
async def follow(request: AnyRequest, db: Db, me: Me, username: Username) -> None:
    """Follows a person; doing it twice changes nothing."""
    await follows.follow(db, me, username)


@delete("/users/{username:str}/follow", tags=["people"], summary="Unfollow")
async def unfollow(db: Db, me: Me, username: Username) -> None:
    """Follows a person no longer."""
    await follows.unfollow(db, me, username)


@get("/users/{username:str}/followers", tags=["people"], summary="Followers")
async def list_followers(
    reader: Reader, viewer: MaybeViewer, username: Username, cursor: Cursor = None, limit: Limit = 20
) -> Page[UserView]:
    """Who follows this person, the latest first."""
    return await follows.list_followers(reader, viewer, username, cursor=cursor, limit=limit)


@get("/users/{username:str}/following", tags=["people"], summary="Following")
async def list_following(
    reader: Reader, viewer: MaybeViewer, username: Username, cursor: Cursor = None, limit: Limit = 20
) -> Page[UserView]:
    """Whom this person follows, the latest first."""
    return await follows.list_following(reader, viewer, username, cursor=cursor, limit=limit)


HANDLERS: list[ControllerRouterHandler] = [
    create_account,
    create_token,
    delete_token,
    get_me,
    change_profile,
    change_password,
    change_email,
    delete_me,
    change_avatar,
    remove_avatar,
    find_users,
    get_user,
    follow,
    unfollow,
    list_followers,
    list_following,
]
