"""Letting old backups go, and the objects that only they hold."""

from __future__ import annotations

from msgspec import Struct

from strvsocial.backups.manifests import MANIFEST, BadBackup
from strvsocial.backups.shelves import BACKUPS, OBJECTS, Shelf


class Pruned(Struct):
    """What goes: whole backups, unfinished ones among them, and objects that no kept backup holds."""

    kept: list[str]
    backups: list[str]
    objects: int
    object_bytes: int


async def prune(shelf: Shelf, keep: int, *, dry_run: bool) -> Pruned:
    """Keeps the newest `keep` finished backups. Raises BadBackup when the list of one of them cannot be read.

    Must not run beside `create`.
    """
    finished = await shelf.list_backups()
    kept = finished[-keep:]
    if not kept:
        raise BadBackup("There is no finished backup here: nothing is deleted.")
    held = {item.file.name for backup in kept for item in await shelf.load_objects(backup)}
    files = [name for name in await shelf.list_sizes(BACKUPS) if name.split("/")[1] not in kept]
    sizes = {name: size for name, size in (await shelf.list_sizes(OBJECTS)).items() if name not in held}
    gone = sorted({name.split("/")[1] for name in files})
    if not dry_run:
        # First the manifests: without one, nothing counts as a backup that lacks its objects.
        files.sort(key=lambda name: not name.endswith("/" + MANIFEST))
        await shelf.delete(files)
        await shelf.delete([*sizes])
    return Pruned(kept, gone, len(sizes), sum(sizes.values()))
