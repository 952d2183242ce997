"""Whom the servers run as. PostgreSQL refuses root, so root drops to a system account; anyone else stays who they are."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from strvsocial.local.problems import LocalProblem

NAME = "strv"


@dataclass(frozen=True)
class Account:
    """A system account that root runs the servers as."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """The account to drop to, or None when this process is not root. Creates `strv` if it can, else takes `nobody`."""
    if os.geteuid() != 0:
        return None
    account = _find(NAME) or _create() or _find("nobody")
    if account is None:
        raise LocalProblem(
            "PostgreSQL does not run as root, and there is no other account to run it as.",
            "Create one (useradd --system strv), or run this as a normal user.",
        )
    _check_that_root_may_become(account)
    return account


def may_reach(account: Account, path: Path) -> bool:
    """Whether the account may enter every folder above `path` and read `path` itself."""
    path = path.resolve()
    return all(_allows(account, parent, 0o1) for parent in path.parents) and _allows(account, path, 0o4)


def take_over(folder: Path, account: Account | None) -> None:
    """Makes a server's folder belong to whom the server runs as, after root and a user took turns."""
    wanted = account.uid if account else os.geteuid()
    if folder.stat().st_uid == wanted:
        return
    if account is None:
        raise LocalProblem(
            f"{folder} belongs to another account: this was run as root before.",
            f"Run it as root again, or give it back: sudo chown -R {os.geteuid()}:{os.getegid()} {folder}",
        )
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _allows(account: Account, path: Path, bit: int) -> bool:
    found = path.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & (bit << 6))
    if found.st_gid == account.gid:
        return bool(found.st_mode & (bit << 3))
    return bool(found.st_mode & bit)


def _find(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid) if entry.pw_uid else None


def _create() -> Account | None:
    for command in (
        ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME],
        ["adduser", "-S", "-D", "-H", "-s", "/sbin/nologin", NAME],  # BusyBox
    ):
        if shutil.which(command[0]) and subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return _find(NAME)
    return None


def _check_that_root_may_become(account: Account) -> None:
    # In a user namespace that maps root alone there is nobody to drop to: setuid fails with EINVAL.
    try:
        subprocess.run(["true"], user=account.uid, group=account.gid, extra_groups=[], check=True, cwd="/")
    except (OSError, subprocess.SubprocessError) as error:
        raise LocalProblem(
            f"This root account may not become {account.name}, and PostgreSQL does not run as root.",
            "Run this as a normal user, or set DATABASE_URL to a PostgreSQL server of your own.",
        ) from error
