"""Samples, made on the spot by libvips and ffmpeg, and private folders to work in."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import pyvips

from strvsocial.media import walls
from strvsocial.media.sandbox import find_ffmpeg, private_folder
from strvsocial.settings import Settings
from strvsocial.storage import Storage, open_storage


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that samples are written to."""
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="session")
def photo() -> Any:
    """A colourful 640 x 480 picture with a red left half."""
    x = pyvips.Image.xyz(640, 480)
    red = (x[0] < 320).ifthenelse(220, 30)
    return red.bandjoin([x[1] * 255 / 480, x[0] * 255 / 640]).cast("uchar").copy(interpretation="srgb")


Film = Callable[..., Path]


@pytest.fixture(scope="session")
def film(samples: Path) -> Film:
    """`film(name, *arguments)` runs ffmpeg once for both together and returns the sample."""

    def make(name: str, *arguments: str) -> Path:
        path = samples / sha256("\0".join(arguments).encode()).hexdigest()[:16] / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments, str(path)]
            subprocess.run(command, check=True, timeout=120, capture_output=True)
        return path

    return make


@pytest_asyncio.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    async with private_folder(tmp_path / "work") as folder:
        yield folder


@pytest.fixture
def put(folder: Path) -> Callable[[Path], Path]:
    """Copies a sample to where the source is expected."""

    def copy(sample: Path) -> Path:
        shutil.copy(sample, folder / "source")
        return folder

    return copy


@pytest_asyncio.fixture(scope="module")
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    async with open_storage(settings) as storage:
        yield storage


WALLS = ["bubblewrap", "launcher"] if shutil.which("bwrap") else ["launcher"]
"""Both walls in turn. Without bubblewrap on the machine, the launcher's is the only one that a site there would have."""


@pytest.fixture(params=WALLS)
def wall(request: pytest.FixtureRequest) -> Iterator[str]:
    """The wall that decoders run behind in a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walls, "_bubblewrap", None if request.param == "bubblewrap" else "")
        yield request.param
