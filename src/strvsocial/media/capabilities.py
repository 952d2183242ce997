"""What holds decoders on this machine, found by sending one out."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from strvsocial.media.sandbox import Limits, find_ffmpeg, private_folder, run_child
from strvsocial.media.walls import find_bubblewrap


@dataclass(frozen=True)
class Capabilities:
    """What holds on this machine, found by trying it."""

    wall: str
    no_network: bool
    no_other_files: bool
    no_other_processes: bool
    ffmpeg: str


async def capabilities() -> Capabilities:
    """Sends a child out to read, write, connect and look about, and tells how far it came."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with (
        tempfile.TemporaryDirectory(prefix="strv-doctor-") as outside,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mailbox,
    ):
        mailbox.bind(("127.0.0.1", port))
        mailbox.setblocking(False)
        secret = Path(outside) / "secret"
        secret.write_text("secret")
        try:
            async with private_folder(Path(outside) / "inside") as folder:
                request = {"file": str(secret), "port": port, "pid": os.getpid()}
                seen = await run_child("look_around", request, folder, Limits(wall=20))
        finally:
            server.close()
        return Capabilities(
            wall="bubblewrap" if await find_bubblewrap() else "namespaces and Landlock",
            no_network=not seen["connects"] and not _has_mail(mailbox),
            no_other_files=not seen["reads_files"] and not seen["writes_files"],
            no_other_processes=not seen["sees_processes"],
            ffmpeg=await asyncio.to_thread(find_ffmpeg),
        )


def _has_mail(mailbox: socket.socket) -> bool:
    try:
        return bool(mailbox.recv(1))
    except BlockingIOError:
        return False
