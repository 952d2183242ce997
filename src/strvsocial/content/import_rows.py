"""What an import writes: authors, posts, tags, media and wanted work of a chunk of lines, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.content.drafts import Files
from strvsocial.content.import_lines import Entry
from strvsocial.content.markdown import render_markdown
from strvsocial.content.posts import add_media
from strvsocial.content.work import want_many_embeddings
from strvsocial.errors import StrvError
from strvsocial.ids import new_id
from strvsocial.jobs import BULK
from strvsocial.users.accounts import create_account
from strvsocial.users.names import username_key

_AUTHORS = text("select username_key, id from users where username_key = any(:names)")
_KNOWN = text("select import_key from posts where import_key = any(:keys)")

# The rows travel as one JSON text: one parameter, one plan, whatever the length of the chunk.
_POSTS = text(
    """
    insert into posts (public_id, author_id, title, text, text_html, media_type, visibility, status, pending,
      import_key, created_at, updated_at)
    select public_id, author_id, title, text, text_html, media_type, visibility,
      case when media_type = 'text' then 'ready' else 'processing' end,
      case when media_type = 'text' then array['embedding'] else array['rendition', 'embedding'] end,
      import_key, created_at, created_at
    from jsonb_to_recordset(cast(:rows as jsonb)) as line (public_id text, author_id bigint, title text, text text,
      text_html text, media_type text, visibility text, import_key text, created_at timestamptz)
    on conflict (import_key) do nothing
    returning id, import_key
    """
)
_TAGS = text("insert into tags (name) select unnest(cast(:names as text[])) on conflict do nothing")
_POST_TAGS = text(
    """
    insert into post_tags (post_id, tag_id, position, created_at)
    select line.post_id, tags.id, line.position, posts.created_at
    from unnest(cast(:post_ids as bigint[]), cast(:names as text[]), cast(:positions as int[]))
      as line (post_id, name, position)
    join tags on tags.name = line.name join posts on posts.id = line.post_id
    on conflict do nothing
    """
)


async def list_known(db: AsyncSession, keys: Sequence[str]) -> set[str]:
    """The keys that were imported before."""
    return set((await db.scalars(_KNOWN, {"keys": list(keys)})).all())


async def list_authors(db: AsyncSession, names: set[str]) -> dict[str, int]:
    """The ids of the people who are already here, by the key of their name."""
    keys = list({username_key(name) for name in names})
    return {row.username_key: row.id for row in await db.execute(_AUTHORS, {"names": keys})}


async def make_author(db: AsyncSession, name: str) -> int | StrvError:
    """A person without a password, or why there can be none of this name."""
    try:
        return (await create_account(db, username=name, email=f"{new_id()}@imported.example", password=None)).id
    except StrvError as error:
        return error


async def write_posts(db: AsyncSession, entries: Sequence[Entry], authors: Mapping[str, int]) -> dict[str, int]:
    """Writes the posts of `entries` that are not there yet, with their tags; their ids by import key."""
    rows = [
        {
            "public_id": new_id(),
            "author_id": authors[username_key(entry.author)],
            "title": entry.draft.title,
            "text": entry.draft.text,
            "text_html": render_markdown(entry.draft.text),
            "media_type": entry.files[0].media_type if entry.files else "text",
            "visibility": entry.draft.visibility,
            "import_key": entry.key,
            "created_at": entry.created_at,
        }
        for entry in entries
    ]
    made = await db.execute(_POSTS, {"rows": msgspec.json.encode(rows).decode()})
    ids: dict[str, int] = {row.import_key: row.id for row in made}
    written = [entry for entry in entries if entry.key in ids]
    await _write_tags(db, written, ids)
    await want_many_embeddings(db, [ids[entry.key] for entry in written if not entry.files], BULK)
    return ids


async def _write_tags(db: AsyncSession, entries: Sequence[Entry], ids: Mapping[str, int]) -> None:
    tagged = [(ids[entry.key], name, position) for entry in entries for position, name in enumerate(entry.draft.tags)]
    if not tagged:
        return
    post_ids, names, positions = (list(column) for column in zip(*tagged, strict=True))
    await db.execute(_TAGS, {"names": sorted(set(names))})
    await db.execute(_POST_TAGS, {"post_ids": post_ids, "names": names, "positions": positions})


async def write_media(db: AsyncSession, post_id: int, files: Files) -> None:
    """The stored media of a post; they are processed when nobody is waiting for anything else."""
    await add_media(db, post_id, files, position=0, priority=BULK)
