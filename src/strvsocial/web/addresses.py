"""Whose address a request comes from. Forwarding headers count only from the proxies that the settings name."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from litestar.types import Scope

Network = IPv4Network | IPv6Network


@lru_cache(maxsize=8)
def _networks(trusted_proxies: str) -> tuple[Network, ...]:
    return tuple(ip_network(part.strip(), strict=False) for part in trusted_proxies.split(",") if part.strip())


def _is_trusted(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)


def client_address(scope: Scope, trusted_proxies: str) -> str:
    """The peer's address, or, behind trusted proxies, the last address in X-Forwarded-For that is not one of them."""
    client = scope.get("client")
    peer = client[0] if client else ""
    networks = _networks(trusted_proxies)
    if not networks or not _is_trusted(peer, networks):
        return peer
    hops: list[str] = []
    for name, value in scope["headers"]:
        if name == b"x-forwarded-for":
            hops += [hop.strip() for hop in value.decode("latin-1").split(",")]
    for hop in reversed(hops):
        if not _is_trusted(hop, networks):
            return _plain(hop) or peer
    return peer


def address_block(address: str) -> str:
    """What limits count by: an IPv4 address, or the /64 that one IPv6 customer usually has."""
    try:
        found = ip_address(address)
    except ValueError:
        return "unknown"
    if found.version == 6:
        return str(ip_network((int(found) >> 64 << 64, 64)))
    return str(found)


def _plain(address: str) -> str:
    try:
        return str(ip_address(address))
    except ValueError:
        return ""
