"""What people upload, made on the spot: of every container, codec, turn and oddity, and what we do not take."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pillow_heif
import pyvips
from PIL import Image

from strvsocial.media.sandbox import find_ffmpeg

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


def rotated(degrees: int, *film: str) -> Source:
    """A film whose header says that it is to be turned."""

    def make(path: Path) -> None:
        plain = path.with_name("plain.mp4")
        ffmpeg(*(film or bars()), *X264)(plain)
        ffmpeg("-display_rotation", str(degrees), "-i", str(plain), "-c", "copy")(path)

    return make


def piped(container: str, *arguments: str) -> Source:
    """As a camera or a browser writes it that cannot go back: the header knows no duration."""

    def make(path: Path) -> None:
        command = [find_ffmpeg(), "-nostdin", "-v", "error", *arguments, "-f", container, "pipe:1"]
        path.write_bytes(subprocess.run(command, check=True, timeout=120, capture_output=True).stdout)

    return make


def speech() -> tuple[str, ...]:
    """Ten seconds of somebody who reads Beckett."""
    package = find_spec("moonshine_onnx")
    assert package is not None
    assert package.origin is not None
    return ("-i", str(Path(package.origin).parent / "assets" / "beckett.wav"))


X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-tag:v", "hvc1")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
TEN_BITS = ("-pix_fmt", "yuv420p10le", "-color_primaries", "bt2020", "-colorspace", "bt2020nc", "-color_trc")
PQ, HLG = (*TEN_BITS, "smpte2084"), (*TEN_BITS, "arib-std-b67")

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
    "turned.mp4": ("video", rotated(90)),
    "upside-down.mp4": ("video", rotated(180)),
    "stretched.mp4": ("video", ffmpeg(*bars(), "-vf", "setsar=4/3", *X264)),
    "odd-size.mp4": ("video", ffmpeg(*bars("321x241"), "-c:v", "libx264", "-pix_fmt", "yuv444p")),
    "ten-bit.mp4": ("video", ffmpeg(*bars(), *X265, "-pix_fmt", "yuv420p10le")),
    "hdr.mp4": ("video", ffmpeg(*bars(), *X265, *PQ)),
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
    "voice.mp3": ("audio", ffmpeg(*tone(8000), "-b:a", "16k")),
    "song.mp3": ("audio", covered("A song")),
    "song.flac": ("audio", covered("A song", "-c:a", "flac")),
    "studio.flac": ("audio", ffmpeg(*tone(96000), "-sample_fmt", "s32")),
    "eight-bit.wav": ("audio", ffmpeg(*tone(11025), "-c:a", "pcm_u8")),
    "float.wav": ("audio", ffmpeg(*tone(192000), "-c:a", "pcm_f32le")),
    "surround.wav": ("audio", ffmpeg(*tone(48000), "-ac", "6")),
    "vorbis.ogg": ("audio", ffmpeg(*tone(), "-c:a", "libvorbis")),
    "speech.opus": ("audio", ffmpeg(*tone(48000), "-c:a", "libopus", "-b:a", "24k")),
    "mac.aiff": ("audio", ffmpeg(*tone(), "-c:a", "pcm_s24be")),
    "telephone.wav": ("audio", ffmpeg(*tone(8000), "-c:a", "pcm_alaw")),
    "layer-two.mp3": ("audio", ffmpeg(*tone(), "-f", "mp2")),
    "varying-without-length.mp3": ("audio", ffmpeg(*tone(), "-q:a", "4", "-write_xing", "0")),
    "frames.aac": ("audio", ffmpeg(*tone(), "-c:a", "aac", "-f", "adts")),
    "from-a-microphone.webm": ("audio", ffmpeg(*tone(48000), "-c:a", "libopus", "-live", "1")),
    "song.mka": ("audio", ffmpeg(*tone(), "-c:a", "flac")),
    "plain.m4a": ("audio", ffmpeg(*tone(), "-c:a", "aac")),
    "lossless.m4a": ("audio", ffmpeg(*tone(), "-c:a", "alac")),
    "blink.wav": ("audio", ffmpeg(*tone(seconds=0.1))),
    "film-without-pictures.mp4": ("audio", ffmpeg(*tone(), "-c:a", "aac")),
}


def film(size: str = "512x288", rate: str = "6", seconds: float = 11) -> tuple[str, ...]:
    """Long and large enough for a ladder, 240p and 288p, and no larger."""
    return bars(size, rate, seconds)


def song(seconds: float = 11, rate: int = 44100) -> tuple[str, ...]:
    return tone(rate, seconds)


AAC, OPUS = ("-c:a", "aac"), ("-c:a", "libopus")
UNEVEN = ("-vf", "select=not(mod(n\\,3))+lt(mod(n\\,20)\\,10)", "-fps_mode", "vfr")
FILMS: dict[str, Source] = {
    "lying.mp4": ffmpeg(*film(), *song(), *X264, *AAC),
    "standing.mp4": ffmpeg(*film("288x512"), *song(), *X264, *AAC),
    "turned-by-its-header.mp4": rotated(90, *film()),
    "upside-down-by-its-header.mov": rotated(180, *film()),
    "odd-in-size.mp4": ffmpeg(*film("513x289"), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p"),
    "without-sound.mp4": ffmpeg(*film(), *X264),
    "uneven-rate.mkv": ffmpeg(*film(rate="12"), *song(), *UNEVEN, *X264, *AAC),
    "hdr-pq.mp4": ffmpeg(*film(), *song(), *X265, *PQ, *AAC),
    "hdr-hlg.mov": ffmpeg(*film(), *song(), *X265, *HLG, *AAC),
    "ten-bits-422.mov": ffmpeg(*film(), *song(), *X264[:4], "-pix_fmt", "yuv422p10le", *AAC),
    "woven.mp4": ffmpeg(*film(rate="24"), "-vf", "interlace", *X264, "-flags", "+ilme+ildct"),
    "stretched-by-its-header.mp4": ffmpeg(*film(), "-vf", "setsar=4/3", *X264),
    "sixty-a-second.mp4": ffmpeg(*film(rate="60"), *song(), *X264, *AAC),
    "hundred-and-twenty-a-second.mp4": ffmpeg(*film(rate="120"), *X264),
    "vp8.mkv": ffmpeg(*film(), *song(), "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"),
    "vp9.webm": ffmpeg(*film(), *song(rate=48000), *VP9, *OPUS),
    "hevc-pcm.mov": ffmpeg(*film(), *song(), *X265, "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le"),
    "av1.mp4": ffmpeg(*film(), *song(), "-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "lp=2", *AAC),
    "mpeg4-mp3.mp4": ffmpeg(*film(), *song(), "-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "mjpeg.mov": ffmpeg(*film(), *song(), "-c:v", "mjpeg", "-q:v", "5", "-c:a", "pcm_s16be"),
    "phone.3gp": ffmpeg(*film("352x288"), *song(rate=8000), "-c:v", "mpeg4", *AAC, "-ac", "1"),
    "surround.mkv": ffmpeg(*film(), *song(rate=48000), *X264, "-ac", "6", "-c:a", "ac3"),
    "telephone-sound.mp4": ffmpeg(*film(), *song(rate=8000), *X264, *AAC, "-ac", "1"),
    "sound-goes-on.mp4": ffmpeg(*film(), *song(14), *X264, *AAC),
    "pictures-go-on.mp4": ffmpeg(*film(seconds=14), *song(11), *X264, *AAC),
    "no-duration.webm": piped("webm", *film(), *song(rate=48000), *VP9, *OPUS),
    "no-duration.mkv": piped("matroska", *film(), *X264),
    "in-fragments.mp4": ffmpeg(*film(), *song(), *X264, *AAC, "-movflags", "frag_keyframe+empty_moov"),
    "one-key-frame.mp4": ffmpeg(*film(), *X264, "-g", "9999", "-bf", "3"),
    "clock-starts-late.mkv": ffmpeg(*film(), *song(), *X264, *AAC, "-output_ts_offset", "30"),
    "full-hd.mp4": ffmpeg(*film("1920x1080", "5"), *song(), *X264, *AAC),
    "ultra-hd.mp4": ffmpeg(*film("3840x2160", "5"), "-c:v", "mpeg4", "-q:v", "8"),
    "cinema.mp4": ffmpeg(*film("1024x428"), *X264),
    "somebody-speaks.mp4": ffmpeg(*film(seconds=12), *speech(), *X264, *AAC),
    "somebody-speaks.webm": ffmpeg(*film(seconds=12), *speech(), *VP9, *OPUS),
}
"""Films that get a ladder. Those in which somebody speaks are named so."""

REFUSED: dict[str, Source] = {
    "old.avi": ffmpeg(*bars(), "-c:v", "mpeg4"),
    "broadcast.ts": ffmpeg(*bars(), *X264),
    "disc.mpg": ffmpeg(*bars(), "-c:v", "mpeg2video"),
    "windows.wmv": ffmpeg(*bars(), "-c:v", "wmv2"),
    "flash.flv": ffmpeg(*bars(), "-c:v", "flv"),
    "prores.mov": ffmpeg(*bars(), "-c:v", "prores_ks"),
    "lossless.mkv": ffmpeg(*bars(), "-c:v", "ffv1"),
    "theora.ogv": ffmpeg(*bars(), "-c:v", "libtheora"),
    "windows.wma": ffmpeg(*tone(), "-c:a", "wmav2"),
    "scan.tiff": picture(lambda drawn, path: drawn.tiffsave(path)),
    "bitmap.bmp": ffmpeg(*bars(), "-frames:v", "1"),
    "drawing.svg": lambda path: _write(path, '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
    "page.html": lambda path: _write(path, "<!doctype html><title>A page</title>"),
    "empty.mp4": lambda path: _write(path, ""),
    "cut-off.mp4": lambda path: _cut(path),
}
"""What is not taken, or cannot be: the author is told so in words."""


def _write(path: Path, content: str) -> None:
    path.write_text(content)


def _cut(path: Path) -> None:
    """A film without the index that stands at its end."""
    ffmpeg(*bars(), *X264)(path)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"moov") - 4])
