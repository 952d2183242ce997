"""The sound of a film: evened as all sounds are, by the clock of its pictures. AAC that is even already keeps its bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from strvsocial.media.audio import Heard, aac_arguments, listen
from strvsocial.media.loudness import evened, is_even
from strvsocial.media.probing import Probe, Stream
from strvsocial.media.progress import Progress
from strvsocial.media.sandbox import Limits, Refused
from strvsocial.settings import Settings


async def hear(settings: Settings, folder: Path, probe: Probe, max_seconds: int, on_progress: Progress) -> Heard | None:
    """Writes `pcm` and measures. None without sound, and for sound that cannot be decoded: such a film is shown without.

    Raises DecoderFailed, but for refusals.
    """
    if probe.sound is None:
        return None
    seconds = probe.duration or max_seconds
    limits = Limits(wall=180 + seconds, cpu=int(180 + seconds))

    def on_seconds(now: float) -> None:
        on_progress(min(1, now / seconds))

    try:
        heard = await listen(settings, folder, probe.sound, limits, max_seconds, on_seconds, is_alone=False)
    except Refused:
        return None
    return heard if heard.seconds else None


def soundtrack_arguments(probe: Probe, heard: Heard) -> list[str]:
    """Output arguments that map and encode the sound of `source`, or copy it."""
    sound = probe.sound
    assert sound is not None
    mapped = ["-map", f"0:{sound.index}"]
    if _is_kept(sound, heard):
        return [*mapped, "-c:a", "copy"]
    gain = heard.loudness.gain if heard.loudness else 0.0
    return [*mapped, "-af", evened(sound, gain), *aac_arguments(sound)]


def soundtrack_details(probe: Probe, heard: Heard | None) -> dict[str, Any]:
    """What the film that has this sound says of it."""
    if heard is None or heard.loudness is None or probe.sound is None:
        return {}
    return (heard.loudness._replace(gain=0.0) if _is_kept(probe.sound, heard) else heard.loudness).details


def _is_kept(sound: Stream, heard: Heard) -> bool:
    """True for what every browser plays, is as loud as others, and is what the master playlist says of it."""
    return sound.codec == "aac" and sound.profile == "LC" and is_even(heard.loudness)
