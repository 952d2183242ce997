"""What people upload, of every container, codec, turn and oddity: what each becomes, and that a browser plays it.

The table is written to `bench/results/sources.md`.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pillow_heif
import pytest
import pytest_asyncio
import pyvips
from PIL import Image
from playwright.async_api import Browser, Page
from sqlalchemy import text
from tests.browser.conftest import browser
from tests.contract.conftest import Worker
from tests.front_door import Site

from strvsocial import worker
from strvsocial.media.sandbox import find_ffmpeg
from strvsocial.settings import ROOT

__all__ = ["browser"]

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

RESULTS = ROOT / "bench" / "results" / "sources.md"
Source = Callable[[Path], None]


def ffmpeg(*arguments: str) -> Source:
    def make(path: Path) -> None:
        command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments, str(path)]
        subprocess.run(command, check=True, timeout=120)

    return make


def bars(size: str = "320x240", rate: str = "25", seconds: float = 2) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}")


def tone(rate: int = 44100, seconds: float = 2) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate={rate}:duration={seconds}")


def picture(save: Callable[[Any, str], None], size: tuple[int, int] = (320, 240)) -> Source:
    def make(path: Path) -> None:
        x = pyvips.Image.xyz(*size)
        drawn = (x[0] * 255 / size[0]).bandjoin([x[1] * 255 / size[1], (x[0] + x[1]) % 255])
        save(drawn.cast("uchar").copy(interpretation="srgb"), str(path))

    return make


def turned(orientation: int) -> Source:
    def save(drawn: Any, path: str) -> None:
        drawn = drawn.copy()
        drawn.set_type(pyvips.GValue.gint_type, "orientation", orientation)
        drawn.jpegsave(path)

    return picture(save)


def heic(path: Path) -> None:
    pillow_heif.register_heif_opener()
    Image.new("RGB", (320, 240), (200, 80, 40)).save(path, quality=80)


def covered(name: str, *codec: str) -> Source:
    """Sound with a picture of its cover."""

    def make(path: Path) -> None:
        cover = path.with_name("cover.jpg")
        picture(lambda drawn, place: drawn.jpegsave(place))(cover)
        arguments = ["-i", str(cover), "-map", "0:a", "-map", "1:v", "-disposition:v", "attached_pic", *codec]
        ffmpeg(*tone(), *arguments, "-metadata", f"title={name}")(path)

    return make


def relabelled(*arguments: str, container: str = "mp4") -> Source:
    """A plain film copied with other marks in its header."""

    def make(path: Path) -> None:
        plain = path.with_name(f"plain.{container}")
        ffmpeg(*bars(), *X264)(plain)
        before = [one for one in arguments if one.startswith("-display")]
        at = arguments.index(before[0]) if before else None
        head = arguments[at : at + 2] if at is not None else ()
        rest = [one for one in arguments if one not in head]
        ffmpeg(*head, "-i", str(plain), "-c", "copy", *rest)(path)

    return make


X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-tag:v", "hvc1")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
HDR = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")

SOURCES: dict[str, tuple[str, Source]] = {
    "photo.jpg": ("image", picture(lambda drawn, path: drawn.jpegsave(path))),
    "progressive.jpg": ("image", picture(lambda drawn, path: drawn.jpegsave(path, interlace=True))),
    "cmyk.jpg": ("image", picture(lambda drawn, path: drawn.icc_transform("cmyk").jpegsave(path))),
    "turned-right.jpg": ("image", turned(6)),
    "mirrored.jpg": ("image", turned(5)),
    "wide-gamut.jpg": ("image", picture(lambda drawn, path: drawn.icc_transform("p3").jpegsave(path))),
    "grey.png": ("image", picture(lambda drawn, path: drawn.colourspace("b-w").pngsave(path))),
    "sixteen-bit.png": ("image", picture(lambda drawn, path: drawn.colourspace("rgb16").pngsave(path))),
    "palette.png": ("image", picture(lambda drawn, path: drawn.pngsave(path, palette=True))),
    "see-through.png": ("image", picture(lambda drawn, path: drawn.bandjoin(drawn[0]).pngsave(path))),
    "one-pixel.png": ("image", picture(lambda drawn, path: drawn.pngsave(path), (1, 1))),
    "very-tall.png": ("image", picture(lambda drawn, path: drawn.pngsave(path), (40, 4000))),
    "lossless.webp": ("image", picture(lambda drawn, path: drawn.webpsave(path, lossless=True))),
    "photo.avif": ("image", picture(lambda drawn, path: drawn.heifsave(path, compression="av1", effort=0))),
    "phone.heic": ("image", heic),
    "still.gif": ("image", picture(lambda drawn, path: drawn.gifsave(path))),
    "moving.gif": ("gif", ffmpeg(*bars("161x121", "10"))),
    "moving.apng": ("gif", ffmpeg(*bars("160x120", "10"), "-plays", "0", "-f", "apng")),
    "moving.webp": ("gif", ffmpeg(*bars("160x120", "10"), "-c:v", "libwebp_anim", "-loop", "0")),
    "plain.mp4": ("video", ffmpeg(*bars(), *tone(), *X264, "-c:a", "aac")),
    "fragmented.mp4": ("video", ffmpeg(*bars(), *X264, "-movflags", "frag_keyframe+empty_moov")),
    "silent.mp4": ("video", ffmpeg(*bars(), *X264)),
    "portrait.mp4": ("video", ffmpeg(*bars("240x426"), *X264)),
    "turned.mp4": ("video", relabelled("-display_rotation", "90")),
    "upside-down.mp4": ("video", relabelled("-display_rotation", "180")),
    "stretched.mp4": ("video", ffmpeg(*bars(), "-vf", "setsar=4/3", *X264)),
    "odd-size.mp4": ("video", ffmpeg(*bars("321x241"), "-c:v", "libx264", "-pix_fmt", "yuv444p")),
    "ten-bit.mp4": ("video", ffmpeg(*bars(), *X265, "-pix_fmt", "yuv420p10le")),
    "hdr.mp4": ("video", ffmpeg(*bars(), *X265, "-pix_fmt", "yuv420p10le", *HDR)),
    "hevc.mov": ("video", ffmpeg(*bars(), *tone(), *X265, "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le")),
    "mjpeg.mov": ("video", ffmpeg(*bars(), "-c:v", "mjpeg", "-q:v", "5")),
    "mpeg4.3gp": ("video", ffmpeg(*bars("176x144"), *tone(8000), "-c:v", "mpeg4", "-c:a", "aac")),
    "vp8.mkv": ("video", ffmpeg(*bars(), *tone(), "-c:v", "libvpx", "-c:a", "libvorbis")),
    "vp9.webm": ("video", ffmpeg(*bars(), *tone(48000), *VP9, "-c:a", "libopus")),
    "av1.mp4": ("video", ffmpeg(*bars(), "-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "lp=2")),
    "surround.mkv": ("video", ffmpeg(*bars(), *tone(48000), *X264, "-ac", "6", "-c:a", "ac3")),
    "fast.mp4": ("video", ffmpeg(*bars(rate="120"), *X264)),
    "interlaced.mp4": ("video", ffmpeg(*bars(), "-vf", "interlace", *X264, "-flags", "+ilme+ildct")),
    "one-frame.mp4": ("video", ffmpeg(*bars(seconds=0.04), *X264)),
    "late-start.mkv": ("video", ffmpeg(*bars(), *tone(), *X264, "-c:a", "aac", "-output_ts_offset", "30")),
    "sound-goes-on.mp4": ("video", ffmpeg(*bars(), *tone(seconds=4), *X264, "-c:a", "aac")),
    "ladder.webm": ("video", ffmpeg(*bars("854x480", "15", 12), *tone(48000, 12), *VP9, "-c:a", "libopus")),
    "voice.mp3": ("audio", ffmpeg(*tone(8000), "-b:a", "16k")),
    "song.mp3": ("audio", covered("A song")),
    "song.flac": ("audio", covered("A song", "-c:a", "flac")),
    "studio.flac": ("audio", ffmpeg(*tone(96000), "-sample_fmt", "s32")),
    "eight-bit.wav": ("audio", ffmpeg(*tone(11025), "-c:a", "pcm_u8")),
    "float.wav": ("audio", ffmpeg(*tone(192000), "-c:a", "pcm_f32le")),
    "surround.wav": ("audio", ffmpeg(*tone(48000), "-ac", "6")),
    "mac.aiff": ("audio", ffmpeg(*tone(), "-c:a", "pcm_s24be")),
    "telephone.wav": ("audio", ffmpeg(*tone(8000), "-c:a", "pcm_alaw")),
    "layer-two.mp3": ("audio", ffmpeg(*tone(), "-f", "mp2")),
    "varying-without-length.mp3": ("audio", ffmpeg(*tone(), "-q:a", "4", "-write_xing", "0")),
    "frames.aac": ("audio", ffmpeg(*tone(), "-c:a", "aac", "-f", "adts")),
    "from-a-microphone.webm": ("audio", ffmpeg(*tone(48000), "-c:a", "libopus", "-live", "1")),
    "vorbis.ogg": ("audio", ffmpeg(*tone(), "-c:a", "libvorbis")),
    "speech.opus": ("audio", ffmpeg(*tone(48000), "-c:a", "libopus", "-b:a", "24k")),
    "plain.m4a": ("audio", ffmpeg(*tone(), "-c:a", "aac")),
    "lossless.m4a": ("audio", ffmpeg(*tone(), "-c:a", "alac")),
    "blink.wav": ("audio", ffmpeg(*tone(seconds=0.1))),
    "film-without-pictures.mp4": ("audio", ffmpeg(*tone(), "-c:a", "aac")),
}

PLAY = """
async ({url, kind}) => {
  const media = document.createElement(kind)
  media.muted = true
  media.preload = 'auto'
  const heard = (name) => new Promise((done, fail) => {
    media.addEventListener(name, done, {once: true})
    media.addEventListener('error', () => fail(new Error(`${name}: ${media.error?.message}`)), {once: true})
  })
  const loaded = heard('loadeddata')
  media.src = url
  await loaded
  const sought = heard('seeked')
  media.currentTime = media.duration / 2
  await sought
  const size = kind === 'video' ? [media.videoWidth, media.videoHeight] : []
  return {duration: media.duration, at: media.currentTime, size}
}
"""
SHOW = """
async (url) => {
  const picture = new Image()
  picture.src = url
  await picture.decode()
  return [picture.naturalWidth, picture.naturalHeight]
}
"""


@pytest_asyncio.fixture(scope="module")
async def working(site: Site) -> AsyncIterator[Worker]:
    async with AsyncExitStack() as stack:
        context = await worker.open_context(stack, site.settings)
        worker.start_lanes(stack, context, {"quick": 2, "long": 1, "ladder": 1}, worker.WORKER_HANDLERS)
        yield Worker(context)


@pytest_asyncio.fixture(scope="module")
async def page(browser: Browser, web_address: str) -> AsyncIterator[Page]:
    context = await browser.new_context(base_url=web_address)
    page = await context.new_page()
    await page.goto("/livez")
    await page.goto("/explore")
    yield page
    await context.close()


@pytest.fixture(scope="module")
def rows() -> Any:
    """Rows of the table, written when the last source is through."""
    rows: list[str] = []
    yield rows
    RESULTS.parent.mkdir(exist_ok=True)
    head = "| source | kind | bytes | became | in a browser |\n| --- | --- | ---: | --- | --- |\n"
    RESULTS.write_text(head + "\n".join(rows) + "\n")


@pytest.mark.parametrize("name", SOURCES)
async def test_a_source_is_shown_or_played(
    site: Site, working: Worker, page: Page, rows: list[str], tmp_path: Path, name: str
) -> None:
    kind, make = SOURCES[name]
    make(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    author = await site.cast("uploader")
    post = await working.publish(author, [(name, content)])
    assert (post["status"], post["media_type"]) == ("ready", kind), post["failure"]
    post = await _until_complete(site, author.client, post["id"])
    [medium] = post["media"]
    if kind == "image":
        seen = await _show(page, medium)
    else:
        seen = await _play(page, medium, kind)
    rows.append(f"| {name} | {kind} | {len(content)} | {await _became(site, medium['id'])} | {seen} |")


async def _until_complete(site: Site, client: httpx.AsyncClient, post_id: str) -> dict[str, Any]:
    """The post once all sizes of its film are made."""
    statement = text("select 1 from renditions where state = 'wanted' limit 1")
    for _ in range(600):
        async with site.database.read() as reader:
            if await reader.scalar(statement) is None:
                break
            await reader.execute(text("select pg_sleep(0.2)"))
    shown: dict[str, Any] = (await client.get(f"/api/v1/posts/{post_id}")).json()
    assert "rendition" not in shown["pending"]
    return shown


async def _show(page: Page, medium: dict[str, Any]) -> str:
    sizes = []
    for variant in medium["variants"]:
        size = await page.evaluate(SHOW, variant["url"])
        assert size == [variant["width"], variant["height"]], variant
        sizes.append(f"{size[0]}×{size[1]} {variant['mime'].removeprefix('image/')}")
    assert sizes
    return ", ".join(sizes)


async def _play(page: Page, medium: dict[str, Any], kind: str) -> str:
    element = "audio" if kind == "audio" else "video"
    played = await page.evaluate(PLAY, {"url": medium["url"], "kind": element})
    assert played["duration"] == pytest.approx(medium["duration"], abs=0.05 if kind == "audio" else 0.25)
    assert played["at"] == pytest.approx(played["duration"] / 2, abs=0.25)
    if element == "video":
        assert min(played["size"]) > 0
        assert played["size"][0] / played["size"][1] == pytest.approx(medium["width"] / medium["height"], rel=0.03)
    for variant in medium["variants"]:
        other = await page.evaluate(PLAY, {"url": variant["url"], "kind": element})
        if kind == "audio":
            assert other["duration"] == pytest.approx(medium["duration"], abs=0.05)
    size = f"{played['size'][0]}×{played['size'][1]}, " if played["size"] else ""
    return f"{size}{played['duration']:.2f} s, sought to {played['at']:.2f} s"


async def _became(site: Site, medium_id: str) -> str:
    statement = text(
        "select r.name, r.byte_size from renditions as r join attachments as a on a.id = r.attachment_id"
        " where a.public_id = :id and r.role not in ('pcm', 'frames') order by r.name"
    )
    async with site.database.read() as reader:
        found = await reader.execute(statement, {"id": medium_id})
        return ", ".join(f"{row.name} {row.byte_size}" for row in found)
