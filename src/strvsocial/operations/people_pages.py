"""The admin's page of people: finding them, hiding them, signing them out."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.operations import people
from strvsocial.operations.places import PEOPLE, AnyRequest, show, told
from strvsocial.web.forms import see
from strvsocial.web.paging import Cursor
from strvsocial.web.rendering import PageResponse, is_fragment, page
from strvsocial.web.viewers import Viewer

Db = NamedDependency[AsyncSession]
Reader = NamedDependency[AsyncConnection]
Admin = NamedDependency[Viewer]
Done = Annotated[str, QueryParameter(max_length=40)]


@get("/admin/people", name="operations.people.list", include_in_schema=False)
async def show_people(
    request: AnyRequest,
    reader: Reader,
    admin: Admin,
    q: Annotated[str, QueryParameter(max_length=100)] = "",
    only: Annotated[Literal["", "suspended", "admins"], QueryParameter()] = "",
    cursor: Cursor = None,
    done: Done = "",
) -> PageResponse:
    found = await people.list_people(reader, request.app.state.settings, q, only=only, cursor=cursor)
    leading = urlencode({"q": q, "only": only, "cursor": found.next}) if found.next else ""
    following = f"/admin/people?{leading}" if leading else None
    return show(request, PEOPLE, people=found.items, q=q, chosen=only, next=following, note=told(done))


@get("/admin/people/{username:str}/suspend", name="operations.people.confirm_suspension", include_in_schema=False)
async def confirm_suspension(
    request: AnyRequest, reader: Reader, admin: Admin, username: FromPath[str]
) -> PageResponse:
    person = await people.get_person(reader, request.app.state.settings, username)
    return page(f"operations/{'_suspend' if is_fragment(request) else 'suspend'}.html", person=person)


@post(
    "/admin/people/{username:str}/suspend", name="operations.people.suspend", include_in_schema=False, status_code=200
)
async def suspend(db: Db, admin: Admin, username: FromPath[str]) -> Response[Any]:
    await people.suspend(db, admin, username)
    return see(f"/admin/people?q={quote(username)}&done=suspended")


@post(
    "/admin/people/{username:str}/unsuspend",
    name="operations.people.unsuspend",
    include_in_schema=False,
    status_code=200,
)
async def unsuspend(db: Db, admin: Admin, username: FromPath[str]) -> Response[Any]:
    await people.unsuspend(db, admin, username)
    return see(f"/admin/people?q={quote(username)}&done=unsuspended")


@post(
    "/admin/people/{username:str}/sign-out",
    name="operations.people.sign_out",
    include_in_schema=False,
    status_code=200,
)
async def sign_out(db: Db, admin: Admin, username: FromPath[str]) -> Response[Any]:
    await people.sign_out(db, admin, username)
    return see(f"/admin/people?q={quote(username)}&done=signed-out")


HANDLERS: list[ControllerRouterHandler] = [show_people, confirm_suspension, suspend, unsuspend, sign_out]
