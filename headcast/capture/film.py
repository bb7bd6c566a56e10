"""What one camera recorded, whatever it lies in: frames in order with their times, damage reported instead of skipped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from headcast.capture.pictures import AGAIN, picture_size, pixels, read_picture
from headcast.capture.raw import PICTURES, VIDEOS
from headcast.errors import BadFile, CaptureError

if TYPE_CHECKING:
    from headcast.capture.video import VideoFrame

GAP = 1.5  # of the least step between the numbers of two pictures


class Film(Protocol):
    """The frames of one camera; ``path`` is what messages name, ``files`` is everything it consists of."""

    @property
    def path(self) -> Path: ...

    @property
    def files(self) -> list[Path]: ...

    def frames(self) -> Iterator[VideoFrame]: ...

    def size(self) -> tuple[int, int]: ...

    def check(self) -> None: ...


@dataclass(frozen=True)
class VideoFilm:
    """A video file."""

    path: Path

    @property
    def files(self) -> list[Path]:
        """The file."""
        return [self.path]

    def frames(self) -> Iterator[VideoFrame]:
        """Decoded frames with the container's times."""
        from headcast.capture.video import read_video_frames  # the plan knows this module, only decoding needs PyAV

        return read_video_frames(self.path)

    def size(self) -> tuple[int, int]:
        """Width and height (px)."""
        from headcast.capture.video import read_video_info

        info = read_video_info(self.path)
        return info.width, info.height

    def check(self) -> None:
        """Every frame that the container promises must be in the file; ``BadFile`` otherwise (demuxed, not decoded)."""
        import av

        try:
            with av.open(str(self.path)) as container:
                promised = container.streams.video[0].frames
                found = sum(1 for packet in container.demux(container.streams.video[0]) if packet.size and not packet.is_corrupt)
        except IndexError as error:
            raise BadFile(self.path, "holds no video stream", AGAIN) from error
        except av.error.FFmpegError as error:
            raise BadFile(self.path, f"is not a readable video ({error.strerror})", AGAIN) from error
        if found == 0 or found < promised:
            raise BadFile(self.path, f"is cut: {found} of {promised} frames are in the file", AGAIN)


@dataclass(frozen=True)
class FolderFilm:
    """A folder of pictures in the order of the numbers in their names, ``fps`` frames a second."""

    path: Path
    fps: float

    @property
    def files(self) -> list[Path]:
        """The pictures, sorted by name; numbers in it count as such, 10 after 9."""
        return sorted((entry for entry in self.path.iterdir() if entry.suffix.lower() in PICTURES), key=_by_number)

    def frames(self) -> Iterator[VideoFrame]:
        """The pictures as RGB; the time of the first is 0."""
        from headcast.capture.video import VideoFrame

        for number, path in enumerate(self.files):
            yield VideoFrame(number, number / self.fps, read_picture(path))

    def size(self) -> tuple[int, int]:
        """Width and height (px) of the first picture."""
        return picture_size(self.files[0])

    def check(self) -> None:
        """There must be pictures, all readable, of one size (only headers are read) and without a gap in their numbers."""
        sizes = {path: picture_size(path) for path in self.files}
        if not sizes:
            raise CaptureError(self.path, "holds no pictures", f"known: {', '.join(PICTURES)}")
        first = next(iter(sizes.values()))
        odd = next((path for path, size in sizes.items() if size != first), None)
        if odd is not None:
            wrong = f"is {pixels(sizes[odd])}, the first picture of the camera {pixels(first)}"
            raise CaptureError(odd, wrong, "film with one size")
        self._check_numbers(list(sizes))

    def _check_numbers(self, files: list[Path]) -> None:
        """Pictures whose names end in numbers follow each other in even steps: a missing one would move all that follow."""
        found = [re.findall(r"\d+", path.stem) for path in files]
        if len(files) < 3 or not all(found):
            return
        steps = np.diff([int(numbers[-1]) for numbers in found])
        late = np.flatnonzero(steps > GAP * steps.min())
        if len(late):
            before, after = files[late[0]].name, files[late[0] + 1]
            raise CaptureError(after, f"follows {before}: a picture is missing between them", "complete the folder or number anew")


def _by_number(path: Path) -> tuple[list[str | int], str]:
    """Text and numbers of a name in turn."""
    parts = re.split(r"(\d+)", path.stem)
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], path.name


def find_film(folder: Path, name: str, fps: float | None) -> Film:
    """The film of a camera in ``folder``: ``{name}.mp4`` (or another container) or a folder ``{name}`` of pictures."""
    videos = [folder / f"{name}{suffix}" for suffix in VIDEOS if (folder / f"{name}{suffix}").is_file()]
    if len(videos) == 1:
        return VideoFilm(videos[0])
    if videos:
        raise CaptureError(videos[1], f"is a second film of camera {name} beside {videos[0].name}", "keep one")
    if not (folder / name).is_dir():
        raise CaptureError(folder / name, f"camera {name} has no film", f"place {name}.mp4 or a folder of pictures there")
    if fps is None:
        raise CaptureError(folder / name, "is a folder of pictures without a rate", "write fps into cameras.json")
    return FolderFilm(folder / name, float(fps))
