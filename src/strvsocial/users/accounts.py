"""Accounts: making, changing and deleting them, and finding out whether a password opens one.

What needs slow hashing takes `database` beside `db` and hashes before the transaction has a connection, so that a crowd
at the login does not hold the pool.
"""

from __future__ import annotations

from collections.abc import Callable

import email_validator
from email_validator import EmailNotValidError, validate_email
from msgspec import UNSET, UnsetType
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.db import Database
from strvsocial.errors import BadInput, Conflict, NotFound, NotSignedIn
from strvsocial.ids import new_id
from strvsocial.jobs import enqueue
from strvsocial.media.attachments import want_deletion
from strvsocial.users import sessions, tokens
from strvsocial.users.models import Follow, User
from strvsocial.users.names import clean_line, clean_text, clean_username, username_key, username_skeleton
from strvsocial.users.passwords import clean_password, hash_password, verify_password
from strvsocial.web.viewers import Viewer

# A site of one's own may well have addresses at .local or .test; whether they exist is not looked up anyway.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

MAX_DISPLAY_NAME, MAX_BIO = 80, 255
NOT_YOUR_PASSWORD = {"password": "This is not your password."}
DELETE_ACCOUNT = "content.delete_account"
"""The job that removes a deleted person's posts, vectors, bytes and, last, the row; content handles it."""


async def create_account(
    db: AsyncSession,
    *,
    username: str,
    email: str,
    password: str | None,
    display_name: str = "",
    bio: str = "",
    is_demo: bool = False,
) -> User:
    """A new person. Without a password (imports, demo) nobody can sign in until the admin sets one.

    Raises:
        BadInput: `fields` names every field that will not do.
        Conflict: name or e-mail address are taken; `fields` names which.
    """
    wrong: dict[str, str] = {}
    username = _collect(wrong, lambda: clean_username(username)) or ""
    email = _collect(wrong, lambda: clean_email(email)) or ""
    display_name = (
        _collect(wrong, lambda: clean_line(display_name, max_length=MAX_DISPLAY_NAME, field="display_name")) or ""
    )
    bio = _collect(wrong, lambda: clean_text(bio, max_length=MAX_BIO, field="bio")) or ""
    if password is not None:
        password = _collect(wrong, lambda: clean_password(password or ""))
    if wrong:
        raise BadInput(fields=wrong)
    values = {
        "public_id": new_id(),
        "username": username,
        "username_key": username_key(username),
        "username_skeleton": username_skeleton(username),
        "email": email,
        "email_key": email.casefold(),
        "password_hash": await hash_password(password) if password is not None else None,
        "display_name": display_name,
        "bio": bio,
        "is_demo": is_demo,
    }
    # `on conflict do nothing` waits for a sign-up that races this one, and keeps the transaction usable after losing.
    user: User | None = await db.scalar(insert(User).values(values).on_conflict_do_nothing().returning(User))
    if user is None:
        await _refuse_taken(db, username=username, email=email)
        raise Conflict("Somebody signed up with this name or address at the same moment. Please try again.")
    return user


async def authenticate(database: Database, email: str, password: str) -> int:
    """The id of the person whom this address and password belong to. Takes its time for unknown addresses too.

    Raises:
        NotSignedIn: they do not belong together, or the person is suspended.
    """
    async with database.read() as reader:
        row = (
            await reader.execute(
                select(User.id, User.password_hash, User.suspended_at).where(User.email_key == _email_key(email))
            )
        ).one_or_none()
    is_right, better = await verify_password(password, row.password_hash if row else None)
    if row is None or not is_right:
        raise NotSignedIn("E-mail address and password do not belong together.", code="wrong_credentials")
    if row.suspended_at is not None:
        raise NotSignedIn("This account is suspended.", code="suspended")
    if better is not None:
        async with database.transaction() as db:
            await db.execute(
                update(User)
                .where(User.id == row.id, User.password_hash == row.password_hash)
                .values(password_hash=better)
            )
    return int(row.id)


async def update_profile(
    db: AsyncSession,
    viewer: Viewer,
    *,
    username: str | UnsetType = UNSET,
    display_name: str | UnsetType = UNSET,
    bio: str | UnsetType = UNSET,
    theme: str | UnsetType = UNSET,
) -> None:
    """Changes what is given of the viewer's profile.

    Raises:
        BadInput: `fields` names every field that will not do.
        Conflict: the name is taken.
    """
    wrong: dict[str, str] = {}
    values: dict[str, object] = {}
    if not isinstance(username, UnsetType):
        name = _collect(wrong, lambda: clean_username(username)) or ""
        values |= {
            "username": name,
            "username_key": username_key(name),
            "username_skeleton": username_skeleton(name),
        }
    if not isinstance(display_name, UnsetType):
        values["display_name"] = _collect(
            wrong, lambda: clean_line(display_name, max_length=MAX_DISPLAY_NAME, field="display_name")
        )
    if not isinstance(bio, UnsetType):
        values["bio"] = _collect(wrong, lambda: clean_text(bio, max_length=MAX_BIO, field="bio"))
    if not isinstance(theme, UnsetType):
        values["theme"] = theme
    if wrong:
        raise BadInput(fields=wrong)
    if "username" in values:
        await _refuse_taken(db, username=str(values["username"]), but=viewer.id)
    if values:
        await db.execute(update(User).where(User.id == viewer.id).values(**values, updated_at=func.now()))


async def change_password(
    database: Database, db: AsyncSession, viewer: Viewer, *, password: str, new_password: str
) -> None:
    """A new password; it ends the person's other sessions and all tokens but the one in use.

    Raises:
        BadInput: the old password is wrong, or the new one will not do.
    """
    wrong: dict[str, str] = {}
    new_password = _collect(wrong, lambda: clean_password(new_password, field="new_password")) or ""
    if not await _is_password_of(database, viewer, password):
        wrong |= NOT_YOUR_PASSWORD
    if wrong:
        raise BadInput(fields=wrong)
    password_hash = await hash_password(new_password)
    await db.execute(
        update(User).where(User.id == viewer.id).values(password_hash=password_hash, updated_at=func.now())
    )
    await sessions.end_others(db, viewer.id, viewer.session_id)
    await tokens.end_others(db, viewer.id, viewer.token_id)


async def change_email(database: Database, db: AsyncSession, viewer: Viewer, *, password: str, email: str) -> None:
    """A new e-mail address.

    Raises:
        BadInput: the password is wrong, or this is no address.
        Conflict: somebody else has it.
    """
    wrong: dict[str, str] = {}
    email = _collect(wrong, lambda: clean_email(email)) or ""
    if not await _is_password_of(database, viewer, password):
        wrong |= NOT_YOUR_PASSWORD
    if wrong:
        raise BadInput(fields=wrong)
    await _refuse_taken(db, email=email, but=viewer.id)
    await db.execute(
        update(User).where(User.id == viewer.id).values(email=email, email_key=email.casefold(), updated_at=func.now())
    )


async def delete_account(database: Database, db: AsyncSession, viewer: Viewer, *, password: str) -> None:
    """Hides the person at once and leaves the rest to a job: posts, vectors, bytes, then the row.

    Name and address are free again at once.

    Raises:
        BadInput: the password is wrong.
    """
    if not await _is_password_of(database, viewer, password):
        raise BadInput(fields=dict(NOT_YOUR_PASSWORD))
    await retire(db, viewer.id)


async def retire(db: AsyncSession, user_id: int) -> None:
    """Makes a person nobody: signed out everywhere, unseen, unnamed; and wants the rest removed."""
    gone = f"deleted-{user_id}"
    avatar_key = await db.scalar(select(User.avatar_key).where(User.id == user_id).with_for_update())
    if avatar_key is not None:
        await want_deletion(db, [avatar_key])
    await sessions.end_others(db, user_id)
    await tokens.end_others(db, user_id)
    await db.execute(delete(Follow).where(or_(Follow.follower_id == user_id, Follow.followed_id == user_id)))
    await db.execute(
        update(User)
        .where(User.id == user_id)
        .values(
            suspended_at=func.now(),
            username=gone,
            username_key=f"\x7f{gone}",
            username_skeleton=f"\x7f{gone}",
            email=gone,
            email_key=f"\x7f{gone}",
            password_hash=None,
            display_name="",
            bio="",
            avatar_key=None,
            updated_at=func.now(),
        )
    )
    await enqueue(db, DELETE_ACCOUNT, {"user_id": user_id}, queue="quick", dedupe_key=f"delete_account:{user_id}")


async def suspend(db: AsyncSession, username: str) -> int:
    """Hides a person and signs them out everywhere. Returns the id.

    Raises:
        NotFound: there is no such person.
    """
    user_id = await _id_of(db, username)
    await db.execute(
        update(User).where(User.id == user_id, User.suspended_at.is_(None)).values(suspended_at=func.now())
    )
    await sessions.end_others(db, user_id)
    await tokens.end_others(db, user_id)
    return user_id


async def unsuspend(db: AsyncSession, username: str) -> int:
    """Takes a suspension back. Returns the id; raises NotFound."""
    user_id = await _id_of(db, username)
    await db.execute(update(User).where(User.id == user_id).values(suspended_at=None))
    return user_id


async def set_role(db: AsyncSession, username: str, role: str) -> int:
    """Makes a person `admin` or `member`. Returns the id; raises NotFound."""
    user_id = await _id_of(db, username)
    await db.execute(update(User).where(User.id == user_id).values(role=role, updated_at=func.now()))
    return user_id


async def reset_password(db: AsyncSession, username: str, password: str) -> int:
    """Sets a password and ends every session and token. Returns the id; raises NotFound and BadInput."""
    password_hash = await hash_password(clean_password(password))
    user_id = await _id_of(db, username)
    await db.execute(update(User).where(User.id == user_id).values(password_hash=password_hash, updated_at=func.now()))
    await sessions.end_others(db, user_id)
    await tokens.end_others(db, user_id)
    return user_id


def clean_email(email: str) -> str:
    """The address, normalised; no DNS look-up. Raises BadInput."""
    try:
        return validate_email(email[:1000].strip(), check_deliverability=False).normalized
    except EmailNotValidError:
        raise BadInput(fields={"email": "This is not an e-mail address that we know how to write to."}) from None


def _email_key(email: str) -> str:
    try:
        return clean_email(email).casefold()
    except BadInput:
        return ""


def _collect(wrong: dict[str, str], check: Callable[[], str]) -> str | None:
    """What `check` returns; or `None`, its complaint noted in `wrong`."""
    try:
        return check()
    except BadInput as error:
        wrong.update(error.fields or {})
        return None


async def _is_password_of(database: Database, viewer: Viewer, password: str) -> bool:
    async with database.read() as reader:
        password_hash = await reader.scalar(select(User.password_hash).where(User.id == viewer.id))
    is_right, _ = await verify_password(password, password_hash)
    return is_right


async def _id_of(db: AsyncSession, username: str) -> int:
    user_id = await db.scalar(select(User.id).where(User.username_key == username_key(username)))
    if user_id is None:
        raise NotFound(f"There is nobody called {username!r}.")
    return int(user_id)


async def _refuse_taken(
    db: AsyncSession, *, username: str | None = None, email: str | None = None, but: int | None = None
) -> None:
    """Raises Conflict with `fields` where another person than `but` has the name, its look-alike or the address."""
    taken: dict[str, str] = {}
    if username is not None:
        same = or_(User.username_key == username_key(username), User.username_skeleton == username_skeleton(username))
        if await db.scalar(select(User.id).where(same, User.id.is_distinct_from(but)).limit(1)):
            taken["username"] = "This name, or one that looks like it, is taken."
    if email is not None and await db.scalar(
        select(User.id).where(User.email_key == email.casefold(), User.id.is_distinct_from(but)).limit(1)
    ):
        taken["email"] = "There is an account with this address already."
    if taken:
        raise Conflict(fields=taken)
