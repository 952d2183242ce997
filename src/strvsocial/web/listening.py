"""Closes a listening socket to new connections before it goes, so that nobody is cut off between the two.

A connection that the kernel has taken but the server has not is reset when the socket goes: a proxy that has sent a POST
on it cannot know whether it was done, and must fail it. So first the kernel is told to drop what arrives at the listening
socket (a filter of one instruction). What was taken is served; whoever connects now tries again a second later, as TCP
does by itself, and is then refused at once, which proxies and clients take as what it is: try the other one.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from typing import Any

import structlog

log = structlog.get_logger()

_SO_ATTACH_FILTER = 26
_RETURN = 0x06
"""BPF_RET | BPF_K: how many bytes of the packet are let through."""


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def let_nobody_in(server: Any) -> None:
    """For the sockets on which a uvicorn server listens. Where it cannot be done, nothing happens."""
    for part in getattr(server, "servers", ()):
        for listener in part.sockets:
            try:
                drop_what_arrives(listener.fileno())
            except OSError as error:
                log.warning("shutdown.cannot_filter", error=repr(error))


def drop_what_arrives(descriptor: int) -> None:
    """Tells the kernel to drop every packet for this socket. Connections that it made before are other sockets.

    Raises:
        OSError: the kernel refused.
    """
    if not sys.platform.startswith("linux"):
        return
    nothing = _Instruction(_RETURN, 0, 0, 0)
    program = _Program(1, ctypes.pointer(nothing))
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        if listener.family != socket.AF_UNIX:
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(program))
