"""Drafts of tags and descriptions: from what is like the post, said in it and seen in it, for its author alone."""

from __future__ import annotations

import json

from sqlalchemy import text
from tests.front_door import Member, Site
from tests.vectors import DIM, add_space, make_vectors, put

from strvsocial.ids import new_id


async def publish(author: Member, title: str, **fields: object) -> str:
    answer = await author.api("POST", "/posts", json={"title": title, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def add_medium(
    site: Site, post: str, kind: str, labels: list[tuple[str, float]], said: str = "", alt: str = ""
) -> str:
    medium = new_id()
    async with site.database.transaction() as db:
        attachment = text(
            "insert into attachments (public_id, post_id, kind, status, source_key, source_mime, byte_size, sha256, alt)"
            " values (:medium, (select id from posts where public_id = :post), :kind, 'ready', :medium, 'x/y', 1,"
            " ''::bytea, :alt) returning id"
        )
        number = await db.scalar(attachment, {"medium": medium, "post": post, "kind": kind, "alt": alt})
        analysis = text(
            "insert into attachment_analyses (attachment_id, model, details) values (:id, 'look', cast(:found as jsonb))"
        )
        await db.execute(analysis, {"id": number, "found": json.dumps({"labels": labels})})
        if said:
            segment = text(
                'insert into transcript_segments (attachment_id, position, start, "end", text) values (:id, 0, 0, 1, :said)'
            )
            await db.execute(segment, {"id": number, "said": said})
    return medium


async def test_drafts_come_from_likeness_words_and_looks(site: Site) -> None:
    author, other = await site.member("author"), await site.member("other")
    near = [await publish(other, f"Near {n}", tags=["gardening"]) for n in range(2)]
    await publish(other, "Far away", tags=["dahlia", "unrelated"])
    secret = await publish(other, "Hidden", tags=["watering"], visibility="private")
    post = await publish(author, "My Dahlia", text="I like watering it", tags=["summer"])
    medium = await add_medium(
        site, post, "video", [("hen of the woods", 0.4), ("daisy", 0.2), ("fence", 0.01)], "Look here " * 20
    )
    described = await add_medium(site, post, "image", [("daisy", 0.9)], alt="My own words")
    space = await add_space(site.database)
    async with site.database.read() as reader:
        rows = await reader.execute(
            text("select public_id, id from posts where public_id = any(:ids)"), {"ids": [post, secret, *near]}
        )
        ids = {row.public_id: row.id for row in rows}
    await put(site.database, space, list(ids.values()), make_vectors(1, dim=DIM)[[0] * len(ids)])
    index = site.app.state.index
    await index.until(lambda: all(index.spaces_of(number) for number in ids.values()))

    told = (await author.api("GET", f"/posts/{post}/proposals")).json()
    assert [(tag["name"], tag["why"]) for tag in told["tags"]] == [
        ("gardening", "similar"),
        ("dahlia", "words"),
        ("hen-of-the-woods", "seen"),
        ("daisy", "seen"),
    ]
    [draft] = told["alts"]
    assert draft["media_id"] == medium
    assert draft["alt"].startswith("Shows hen of the woods, daisy. Says: “Look here Look here")
    assert len(draft["alt"]) < 200
    assert described not in str(told)
    shown = (await author.api("GET", f"/posts/{post}")).json()
    assert (shown["tags"], [item["alt"] for item in shown["media"]]) == (["summer"], ["", "My own words"])


async def test_the_form_saves_what_the_author_wants_of_them(site: Site) -> None:
    author = await site.member("author")
    post = await publish(author, "Words", tags=["kept"])
    await add_medium(site, post, "image", [("tabby", 0.9)])
    await add_medium(site, post, "image", [], alt="Known")
    page = (await author.browser.get(f"/p/{post}/proposals")).text
    assert 'value="Shows tabby."' in page
    assert '<input type="checkbox" name="tags" value="tabby">' in page
    assert '<input type="hidden" name="tags" value="kept">' in page
    form = {"tags": ["kept", "tabby"], "alts": ["A tabby asleep", "Known"]}
    assert (await author.browser.post(f"/p/{post}/edit", data=form)).status_code == 303
    shown = (await author.api("GET", f"/posts/{post}")).json()
    assert (shown["tags"], [item["alt"] for item in shown["media"]]) == (["kept", "tabby"], ["A tabby asleep", "Known"])
    assert (await author.api("GET", f"/posts/{post}/proposals")).json() == {"tags": [], "alts": []}
    assert "Nothing to suggest" in (await author.browser.get(f"/p/{post}/proposals")).text
