"""Checks of what strangers could get at: sample passwords, cookies without TLS, a bucket that anybody may read."""

from __future__ import annotations

import importlib.util
import ipaddress
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import aioboto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from strvsocial import incidents, traces
from strvsocial.ids import new_id
from strvsocial.operations.findings import Finding
from strvsocial.settings import Settings
from strvsocial.storage import open_storage

SHORTEST = 12
"""Characters of a password that more than this machine can try."""
SAMPLES = frozenset(
    {
        "admin", "changeme", "change-me", "default", "example", "minioadmin", "password", "postgres", "redis", "root",
        "secret", "strv", "strvsocial", "test", "user", "valkey",
    }
)  # fmt: skip
_EXTRAS = {
    "traces": (
        "opentelemetry.exporter.otlp.proto.http",
        "otlp_endpoint",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        traces.INSTALL,
    ),
    "reports": ("sentry_sdk", "sentry_dsn", "SENTRY_DSN", incidents.INSTALL),
}


async def check_https(settings: Settings) -> list[Finding]:
    """Cookies are Secure, and cannot be read on their way, only when the site's address is https."""
    address = urlsplit(settings.site_url)
    if address.scheme == "https":
        return [Finding("https", "ok", f"{settings.site_url}: cookies are Secure")]
    if is_near(address.hostname or ""):
        return [Finding("https", "ok", f"{settings.site_url} does not leave this machine")]
    hint = "Put a proxy with TLS in front and set STRV_PUBLIC_URL to its https:// address: cookies are Secure then."
    return [Finding("https", "fail", f"{settings.site_url} is not https: cookies travel in the clear", hint)]


def is_near(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.startswith("/") or not host


async def check_secrets(settings: Settings) -> list[Finding]:
    """Passwords out of examples, and short or missing ones where others than this machine can try them."""
    bad = []
    for name, url in (
        ("DATABASE_URL", settings.database_url),
        ("DATABASE_DIRECT_URL", settings.database_direct_url),
        ("REDIS_URL", settings.redis_url),
    ):
        if url:
            parts = urlsplit(url)
            bad += _judge(name, unquote(parts.password or ""), unquote(parts.username or ""), parts.hostname or "")
    secret = settings.aws_secret_access_key
    if settings.s3_bucket and secret is not None:
        host = urlsplit(settings.s3_endpoint_url or "").hostname or "s3.amazonaws.com"
        bad += _judge("AWS_SECRET_ACCESS_KEY", secret.get_secret_value(), settings.aws_access_key_id or "", host)
    if settings.metrics_token is not None:
        bad += _judge("STRV_METRICS_TOKEN", settings.metrics_token.get_secret_value(), "", "everywhere")
    if bad:
        return [Finding("secrets", "fail", "; ".join(bad), "Make a new one: openssl rand -hex 24")]
    return [Finding("secrets", "ok", "none is missing, short or out of an example")]


def _judge(name: str, password: str, user: str, host: str) -> list[str]:
    if password and (password.lower() in SAMPLES or password == user):
        return [f"the password of {name} is one of an example"]
    if not is_near(host) and len(password) < SHORTEST:
        told = "is short" if password else "is missing"
        return [f"the password of {name} {told}, and {host} is another machine"]
    return []


async def check_bucket(settings: Settings) -> list[Finding]:
    """Stores an object and asks for it, and for a list, as nobody: private posts must not be public bytes."""
    if settings.s3_bucket is None:
        return []
    key = f"work/doctor-{new_id()}/private"
    async with open_storage(settings) as storage:
        await storage.put(key, b"private", "application/octet-stream")
        try:
            may = await _what_nobody_may(settings, key)
        finally:
            await storage.delete([key])
    if may:
        hint = "Take public access away: the bucket's policy and ACL, or anonymous access in the storage server's settings."
        return [Finding("bucket", "fail", f"anybody may {' and '.join(may)} bucket {settings.s3_bucket}", hint)]
    return [Finding("bucket", "ok", f"strangers get nothing of {settings.s3_bucket}")]


async def _what_nobody_may(settings: Settings, key: str) -> list[str]:
    config = Config(
        signature_version=UNSIGNED,
        connect_timeout=3,
        read_timeout=10,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"},
    )
    nobody = aioboto3.Session().client(
        "s3", endpoint_url=settings.s3_endpoint_url, region_name=settings.s3_region, config=config
    )
    may = []
    async with nobody as client:
        asks: dict[str, Callable[[], Awaitable[Any]]] = {
            "read": lambda: client.get_object(Bucket=settings.s3_bucket, Key=key),
            "list": lambda: client.list_objects_v2(Bucket=settings.s3_bucket, MaxKeys=1),
        }
        for verb, ask in asks.items():
            with suppress(
                ClientError, BotoCoreError
            ):  # Refused, as it should be; whether it answers is looked at elsewhere.
                await ask()
                may.append(verb)
    return may


async def check_watching(settings: Settings) -> list[Finding]:
    """Whether what the environment asks for can be sent."""
    findings = []
    for name, (package, field, variable, install) in _EXTRAS.items():
        if getattr(settings, field) is None:
            continue
        try:
            found = importlib.util.find_spec(package)
        except ImportError:
            found = None
        if found is None:
            findings.append(Finding(name, "fail", f"{variable} is set, but its packages are missing", install))
        else:
            findings.append(Finding(name, "ok", f"sent to where {variable} says"))
    return findings
