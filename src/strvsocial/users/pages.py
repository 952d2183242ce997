"""Pages of people: signing up, in and out, following, who follows whom."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect
from litestar.types import ControllerRouterHandler
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.errors import BadInput, Conflict, NotSignedIn
from strvsocial.settings import Settings
from strvsocial.users import accounts, follows, profiles, sessions
from strvsocial.users.cookies import clear_cookie, make_cookie
from strvsocial.users.input import Login, SignUp
from strvsocial.users.logins import describe_client, limit_sign_ups, log_in
from strvsocial.web.forms import again, safe_path, see
from strvsocial.web.input import read_input
from strvsocial.web.paging import Cursor
from strvsocial.web.rendering import PageResponse, is_fragment, page, viewer_of
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]
Db = NamedDependency[AsyncSession]
Reader = NamedDependency[AsyncConnection]
Me = NamedDependency[Viewer]
MaybeViewer = NamedDependency[Viewer | None]
SiteSettings = NamedDependency[Settings]
Next = Annotated[str, QueryParameter(max_length=2000)]


class SignUpForm(SignUp, kw_only=True):
    next: str = "/"


class LoginForm(Login, kw_only=True):
    next: str = "/"


@get("/signup", name="users.accounts.new", include_in_schema=False)
async def show_sign_up(viewer: MaybeViewer, next: Next = "/") -> PageResponse | Redirect:  # noqa: A002
    if viewer is not None:
        return see(safe_path(next))
    return page("users/accounts/new.html", fields={}, values={}, message="", next=safe_path(next))


@post("/signup", name="users.accounts.create", include_in_schema=False, status_code=200)
async def sign_up(request: AnyRequest, db: Db, settings: SiteSettings) -> Response[Any]:
    """Makes an account and signs it in."""
    await limit_sign_ups(request)
    try:
        sent = await read_input(request, SignUpForm)
        user = await accounts.create_account(db, username=sent.username, email=sent.email, password=sent.password)
    except (BadInput, Conflict) as error:
        return await again(request, "users/accounts/new.html", error, next=await _next_of(request))
    return await _start_session(request, db, settings, user.id, safe_path(sent.next))


@get("/login", name="users.sessions.new", include_in_schema=False)
async def show_login(viewer: MaybeViewer, next: Next = "/") -> PageResponse | Redirect:  # noqa: A002
    if viewer is not None:
        return see(safe_path(next))
    return page("users/sessions/new.html", fields={}, values={}, message="", next=safe_path(next))


@post("/login", name="users.sessions.create", include_in_schema=False, status_code=200)
async def sign_in(request: AnyRequest, db: Db, settings: SiteSettings) -> Response[Any]:
    """Signs in, always with a new session."""
    try:
        sent = await read_input(request, LoginForm)
        user_id = await log_in(request, sent.email, sent.password)
    except (BadInput, NotSignedIn) as error:
        return await again(request, "users/sessions/new.html", error, next=await _next_of(request))
    return await _start_session(request, db, settings, user_id, safe_path(sent.next))


@post("/logout", name="users.sessions.end", include_in_schema=False, status_code=200)
async def sign_out(db: Db, viewer: MaybeViewer, settings: SiteSettings) -> Response[Any]:
    if viewer is not None and viewer.session_id is not None:
        await sessions.end(db, viewer, viewer.session_id)
    answer = see("/")
    answer.set_cookie(clear_cookie(settings))
    return answer


@post("/u/{username:str}/follow", name="users.follows.create", include_in_schema=False, status_code=200)
async def follow(request: AnyRequest, db: Db, me: Me, username: FromPath[str]) -> Response[Any]:
    await follows.follow(db, me, username)
    return await _show_follow(request, db, me, username)


@post("/u/{username:str}/unfollow", name="users.follows.end", include_in_schema=False, status_code=200)
async def unfollow(request: AnyRequest, db: Db, me: Me, username: FromPath[str]) -> Response[Any]:
    await follows.unfollow(db, me, username)
    return await _show_follow(request, db, me, username)


@get("/u/{username:str}/followers", name="users.followers.list", include_in_schema=False)
async def list_followers(
    request: AnyRequest, reader: Reader, viewer: MaybeViewer, username: FromPath[str], cursor: Cursor = None
) -> PageResponse:
    user = await profiles.get_user(reader, viewer, username)
    people = await follows.list_followers(reader, viewer, username, cursor=cursor)
    return _show_people(request, user, people, "followers", "Followers", f"Nobody follows {user.display_name} yet.")


@get("/u/{username:str}/following", name="users.following.list", include_in_schema=False)
async def list_following(
    request: AnyRequest, reader: Reader, viewer: MaybeViewer, username: FromPath[str], cursor: Cursor = None
) -> PageResponse:
    user = await profiles.get_user(reader, viewer, username)
    people = await follows.list_following(reader, viewer, username, cursor=cursor)
    return _show_people(request, user, people, "following", "Following", f"{user.display_name} follows nobody yet.")


def _show_people(request: AnyRequest, user: Any, people: Any, place: str, title: str, empty: str) -> PageResponse:
    following = f"{user.url}/{place}?cursor={people.next}" if people.next else None
    name = "users/profiles/_people_page.html" if is_fragment(request) else "users/profiles/people.html"
    return page(name, user=user, people=people.items, next=following, title=title, empty=empty)


async def _show_follow(request: AnyRequest, db: AsyncSession, me: Viewer, username: str) -> Response[Any]:
    user = await profiles.get_user(await db.connection(), me, username)
    if not is_fragment(request):
        return see(user.url)
    on_profile = request.headers.get("hx-current-url", "").split("?")[0].endswith(user.url)
    return page("users/profiles/_follow.html", user=user, on_profile=on_profile)


async def _start_session(
    request: AnyRequest, db: AsyncSession, settings: Settings, user_id: int, path: str
) -> Response[Any]:
    before: Viewer | None = viewer_of(request.scope)
    token = await sessions.start(db, user_id, replacing=before, **describe_client(request))
    answer = see(path)
    answer.set_cookie(make_cookie(settings, token))
    return answer


async def _next_of(request: AnyRequest) -> str:
    value = (await request.form()).get("next", "/")
    return safe_path(value if isinstance(value, str) else "/")


HANDLERS: list[ControllerRouterHandler] = [
    show_sign_up,
    sign_up,
    show_login,
    sign_in,
    sign_out,
    follow,
    unfollow,
    list_followers,
    list_following,
]
