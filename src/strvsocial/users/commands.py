"""`strvsocial user`: people, for the admin."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.console import AsJson, DryRun
from strvsocial.errors import StrvError
from strvsocial.media.quotas import get_quota
from strvsocial.services import open_database
from strvsocial.settings import get_settings
from strvsocial.users import accounts, audit
from strvsocial.users.models import ApiToken, Session, User
from strvsocial.users.names import username_key
from strvsocial.users.quotas import parse_limit, set_limit
from strvsocial.web.formats import size

app = typer.Typer(no_args_is_help=True, help="People: create, list, promote, suspend.")

Name = Annotated[str, typer.Argument(help="The person's username, in any case.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Generate = Annotated[bool, typer.Option("--generate", help="Make a random password and print it.")]

T = TypeVar("T")
COLUMNS = (User.username, User.email, User.role, User.suspended_at, User.created_at, User.display_name)


@app.command()
def create(
    username: Annotated[str, typer.Argument(help="3 to 30 letters, digits, dots, dashes, underscores.")],
    email: Annotated[str, typer.Argument(help="An e-mail address.")],
    admin: Annotated[bool, typer.Option("--admin", help="Make this person an admin.")] = False,
    password_stdin: FromStdin = False,
    generate: Generate = False,
    as_json: AsJson = False,
) -> None:
    """Creates an account. Asks for the password unless told where it comes from."""
    password = _read_password(password_stdin, generate)

    async def work(db: AsyncSession) -> dict[str, Any]:
        user = await accounts.create_account(db, username=username, email=email, password=password)
        if admin:
            await accounts.set_role(db, user.username, "admin")
        await audit.record(db, None, "users.create", user.username, role="admin" if admin else "member")
        made = {"username": user.username, "email": user.email, "role": "admin" if admin else "member"}
        return {**made, "password": password} if generate else made

    _report(_in_transaction(work), as_json, "Created")


@app.command("list")
def list_people(
    q: Annotated[str, typer.Option("--q", help="Only names or addresses that hold this.")] = "",
    admins: Annotated[bool, typer.Option("--admins", help="Only admins.")] = False,
    suspended: Annotated[bool, typer.Option("--suspended", help="Only suspended people.")] = False,
    most: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Lists people, the newest first."""

    async def work(db: AsyncSession) -> list[dict[str, Any]]:
        people = select(*COLUMNS).order_by(User.id.desc()).limit(most)
        if q:
            people = people.where(
                User.username_key.contains(username_key(q), autoescape=True)
                | User.email_key.contains(q.casefold(), autoescape=True)
            )
        if admins:
            people = people.where(User.role == "admin")
        if suspended:
            people = people.where(User.suspended_at.is_not(None))
        return [dict(row._mapping) for row in await db.execute(people)]

    rows = _in_transaction(work)
    if as_json:
        typer.echo(msgspec.json.encode({"items": rows}).decode())
        return
    table = Table("username", "e-mail", "role", "suspended", "since")
    for row in rows:
        gone = f"{row['suspended_at']:%Y-%m-%d %H:%M}" if row["suspended_at"] else ""
        table.add_row(row["username"], row["email"], row["role"], gone, f"{row['created_at']:%Y-%m-%d}")
    Console().print(table if rows else "Nobody.")


@app.command()
def promote(
    username: Name,
    demote: Annotated[bool, typer.Option("--demote", help="Make an admin a member again.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Makes a person an admin."""
    role = "member" if demote else "admin"
    action = "users.demote" if demote else "users.promote"
    _change(action, username, {"role": role}, lambda db: accounts.set_role(db, username, role), dry_run, as_json)


@app.command()
def suspend(username: Name, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Hides a person and their posts and signs them out everywhere."""
    _change("users.suspend", username, {"suspended": True}, lambda db: accounts.suspend(db, username), dry_run, as_json)


@app.command()
def unsuspend(username: Name, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Takes a suspension back."""
    _change(
        "users.unsuspend", username, {"suspended": False}, lambda db: accounts.unsuspend(db, username), dry_run, as_json
    )


@app.command("reset-password")
def reset_password(
    username: Name,
    password_stdin: FromStdin = False,
    generate: Generate = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Sets a new password and signs the person out everywhere."""
    password = "" if dry_run else _read_password(password_stdin, generate)
    change = {"password": password if generate and not dry_run else "changed"}
    act = partial(accounts.reset_password, username=username, password=password)
    _change("users.reset_password", username, change, act, dry_run, as_json)


@app.command()
def quota(
    username: Name,
    total: Annotated[
        str | None, typer.Option(help="How much they may keep here: 50GB, default (the site's) or unlimited.")
    ] = None,
    daily: Annotated[
        str | None, typer.Option(help="How much they may bring within 24 hours: 5GB, default or unlimited.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Shows how much a person keeps here and may keep, or changes that."""

    async def work(db: AsyncSession) -> dict[str, Any]:
        wanted = {"total": total, "daily": daily}
        changes = {name: parse_limit(value, f"--{name}") for name, value in wanted.items() if value is not None}
        found = (
            await db.execute(select(User.id, User.username).where(User.username_key == username_key(username)))
        ).one_or_none()
        if found is None:
            raise StrvError(f"There is nobody called {username!r}.")
        for name, value in changes.items():
            await set_limit(db, found.id, name, value)
        answer = {"username": found.username, **msgspec.to_builtins(await get_quota(db, get_settings(), found.id))}
        if dry_run:
            await db.rollback()
            return {**answer, "dry_run": True}
        if changes:
            told = {name: wanted[name] for name in changes}
            await audit.record(db, None, "users.quota", found.username, **told)
        return answer

    result = _in_transaction(work)
    if as_json:
        typer.echo(msgspec.json.encode(result).decode())
        return
    if total or daily:
        typer.echo(f"{'Would change' if dry_run else 'Changed'} {result['username']}:")
    for used, most, title in (
        ("used_bytes", "total_bytes", "kept"),
        ("daily_used_bytes", "daily_bytes", "last 24 hours"),
    ):
        limit = size(result[most]) if result[most] is not None else "unlimited"
        typer.echo(f"  {title:<14} {size(result[used])} of {limit}")


def _change(
    action: str,
    username: str,
    change: dict[str, Any],
    act: Callable[[AsyncSession], Awaitable[Any]],
    dry_run: bool,
    as_json: bool,
) -> None:
    async def work(db: AsyncSession) -> dict[str, Any]:
        key = username_key(username)
        found = await db.scalar(select(User.username).where(User.username_key == key))
        if found is None:
            raise StrvError(f"There is nobody called {username!r}.")
        if dry_run:
            open_sessions = await _count_logins(db, key)
            return {"username": found, **change, "logins": open_sessions, "dry_run": True}
        await act(db)
        await audit.record(db, None, action, found)
        return {"username": found, **change}

    _report(_in_transaction(work), as_json, "Would change" if dry_run else "Changed")


async def _count_logins(db: AsyncSession, key: str) -> int:
    user_id = select(User.id).where(User.username_key == key).scalar_subquery()
    of_browsers = select(func.count()).where(Session.user_id == user_id).scalar_subquery()
    of_clients = select(func.count()).where(ApiToken.user_id == user_id).scalar_subquery()
    return int(await db.scalar(select(of_browsers + of_clients)) or 0)


def _read_password(password_stdin: bool, generate: bool) -> str:
    if generate:
        return secrets.token_urlsafe(15)
    if password_stdin or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _in_transaction(work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """What `work` returns, in a transaction of its own; failures are told in words and end with status 1."""
    try:
        return asyncio.run(_run(work))
    except StrvError as error:
        typer.echo(error.message, err=True)
        for name, problem in (error.fields or {}).items():
            typer.echo(f"  {name}: {problem}", err=True)
    except OSError as error:
        typer.echo(f"The database does not answer ({error}). Is the site running? Try `strvsocial doctor`.", err=True)
    raise typer.Exit(1)


async def _run(work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    async with open_database(pool_size=1) as database, database.transaction() as db:
        return await work(db)


def _report(result: dict[str, Any], as_json: bool, verb: str) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(result).decode())
        return
    details = ", ".join(f"{name} {value}" for name, value in result.items() if name not in ("username", "dry_run"))
    typer.echo(f"{verb} {result['username']}: {details}.")
