"""With which words ffmpeg may read a stranger's file. It is started by `strvsocial.media.sandbox` only."""

from __future__ import annotations

FORMATS = (
    "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "mp3", "ogg", "wav", "flac", "aac",
    "aiff",
)  # fmt: skip
VIDEO_CODECS = ("h264", "hevc", "vp8", "vp9", "libdav1d", "av1", "mpeg4", "mjpeg")
AUDIO_CODECS = (
    "aac", "mp3", "mp3float", "mp2", "mp2float", "opus", "vorbis", "flac", "alac", "ac3", "eac3",
    "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be",
    "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw",
)  # fmt: skip
COVER_CODECS = ("png",)
CODECS = (*VIDEO_CODECS, *AUDIO_CODECS, *COVER_CODECS)
MAX_FRAME_PIXELS = 8192 * 4608
"""An 8K frame, with room for the odd ones."""


def read_source(name: str = "source", *, threads: int = 1) -> list[str]:
    """Input arguments: files only, known formats and codecs only, no endless pictures. `name` lies in the folder."""
    return [
        "-protocol_whitelist", "file,pipe",
        "-format_whitelist", ",".join(FORMATS),
        "-codec_whitelist", ",".join(CODECS),
        "-max_pixels", str(MAX_FRAME_PIXELS),
        "-threads", str(threads),
        "-i", f"file:{name}",
    ]  # fmt: skip


WITHOUT_METADATA = ("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags", "+bitexact")
