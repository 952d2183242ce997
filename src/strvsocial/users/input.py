"""What people send about themselves. The domain checks the meaning; here only the shape."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

Email = Annotated[str, Meta(max_length=254, description="An e-mail address; it is not looked up.")]
Password = Annotated[str, Meta(max_length=512, description="8 to 128 characters after NFKC.")]
Username = Annotated[str, Meta(max_length=60, description="3 to 30 letters, digits, dots, dashes, underscores.")]


class SignUp(Struct, kw_only=True):
    username: Username
    email: Email
    password: Password


class Login(Struct, kw_only=True):
    email: Email
    password: Password
    code: Annotated[str, Meta(max_length=32)] | None = None


class ProfileChange(Struct, kw_only=True):
    """What is left out stays as it is."""

    username: Username | UnsetType = UNSET
    display_name: Annotated[str, Meta(max_length=320)] | UnsetType = UNSET
    bio: Annotated[str, Meta(max_length=1020)] | UnsetType = UNSET
    theme: Annotated[str, Meta(max_length=32)] | UnsetType = UNSET


class PasswordChange(Struct, kw_only=True):
    password: Password
    new_password: Password


class EmailChange(Struct, kw_only=True):
    password: Password
    email: Email


class AccountDeletion(Struct, kw_only=True):
    password: Password
