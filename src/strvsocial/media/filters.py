"""From the frames that somebody sent to those of a rung: one moment each, in colours that every screen shows, upright
(ffmpeg turns them by itself), with square pixels and 8 bits."""

from __future__ import annotations

from strvsocial.media.probing import HLG, Picture

FILTERS = ("bwdif", "concat", "fps", "scale", "setparams", "setsar", "split", "tonemap", "tpad", "zscale")
"""What ffmpeg must have to bring films into shape: `doctor` looks for them."""
MAX_FPS = 60
UNSPECIFIED = 2
"""A matrix or primaries that a film does not name, as ITU-T H.273 numbers them."""
HD_LINES = 720
HELD_SECONDS = 1
_FROM_LIGHT = "zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv"


def fit(film: Picture, width: int, height: int) -> list[str]:
    """The filters that bring a film to a size."""
    filters = ["bwdif=mode=send_frame:deint=interlaced"] if film.interlaced else []
    filters += [f"fps={MAX_FPS}"] if film.fps > MAX_FPS + 1 else []
    filters += _scale_light(film, width, height) if film.is_hdr else _scale(film, width, height)
    # A playlist is as long as its pictures: what is heard after them belongs to the last one.
    filters += [f"tpad=stop_mode=clone:stop_duration={film.held:.3f}"] if film.held > HELD_SECONDS else []
    return [*filters, "setsar=1"]


def fit_again(width: int, height: int) -> list[str]:
    """The filters that bring what has been through `fit` to a smaller size."""
    return [f"scale={width}:{height}:flags=bicubic", "setsar=1"]


def _scale(film: Picture, width: int, height: int) -> list[str]:
    """Players guess the matrix of films that do not name it by their size, which each rung has another one of."""
    guess = "bt709" if min(film.width, film.height) >= HD_LINES else "smpte170m"
    scale = f"scale={width}:{height}:flags=bicubic"
    if film.is_rgb:
        return [f"{scale}:out_color_matrix={guess}"]
    return [f"setparams=colorspace={guess}", scale] if film.matrix == UNSPECIFIED else [scale]


def _scale_light(film: Picture, width: int, height: int) -> list[str]:
    """Light is mixed as light, before it is squeezed into what a screen without HDR shows. What the film does not say
    of itself is taken for what such films are."""
    said = ["color_trc=arib-std-b67" if film.transfer == HLG else "color_trc=smpte2084"]
    said += ["color_primaries=bt2020"] if film.primaries in (0, UNSPECIFIED) else []
    said += ["colorspace=bt2020nc"] if film.matrix == UNSPECIFIED and not film.is_rgb else []
    to_light = [f"setparams={':'.join(said)}", "zscale=t=linear:npl=203", "format=gbrpf32le"]
    return [*to_light, f"zscale=w={width}:h={height}:f=bicubic", _FROM_LIGHT]
