"""Downloads a published file once: resumed where it was cut, checked, and renamed into place."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sambench
from sambench.data.source import Progress
from sambench.errors import DataError
from sambench.files.atomic import check_room, replace_folder, store_errors, sync_folder
from sambench.files.claim import lock

CHUNK = 1 << 20
PATIENCE = 60.0  # seconds without a byte after which a connection counts as cut
ROOM = "free some space, or choose another `--raw DIR`"


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A published file, its name on disk, and its checksum "md5:..." or "sha256:..."."""

    url: str
    name: str
    checksum: str

    def matches(self, path: Path) -> bool:
        """Whether a file on disk is the published one."""
        algorithm, _, expected = self.checksum.partition(":")
        return digest(path, algorithm) == expected


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a file in hex digits."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check its permissions") from error


def fetch(remote: Remote, folder: Path, progress: Progress) -> Path:
    """Return the file in the folder, downloaded unless it is there; a cut download is kept too.

    `DataError` if it cannot be had, is not the published one, or another process is at it;
    `StoreError` if the disk refuses, or has not the room.
    """
    final = folder / remote.name
    with lock(final, "downloading"):
        if final.is_file():
            if not remote.matches(final):
                raise DataError(
                    f"{final} is not the published file ({remote.checksum}); delete it to "
                    "download it again"
                )
            return final
        part = final.with_name(f".{final.name}.part")
        _receive(remote, part, progress)
        if not remote.matches(part):
            part.unlink()
            raise DataError(
                f"what came from {remote.url} is not the published file ({remote.checksum}); "
                f"try again, or put the file into {folder} yourself"
            )
        with store_errors(folder):
            part.replace(final)
            sync_folder(folder)
    return final


def unpack(archive: Path, folder: Path) -> Path:
    """Return the folder of an archive's files, unpacked unless it is there.

    Where all files of the archive lie in one folder, that becomes the folder. `DataError` if it is
    no archive, leads out of the folder, or another process is at it; `StoreError` if the disk
    refuses, or has not the room.
    """
    with lock(folder, "unpacking into"):
        if folder.is_dir():
            return folder
        work = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.tmp")
        try:
            with store_errors(folder.parent):
                _extract(archive, work)
            inside = [path for path in work.iterdir() if path.name != "__MACOSX"]
            lone = len(inside) == 1 and inside[0].is_dir()
            replace_folder(inside[0] if lone else work, folder)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
            raise DataError(f"{archive} cannot be unpacked: {error}; download it again") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder


def _receive(remote: Remote, part: Path, progress: Progress) -> None:
    """Append to what there is of a file until all of it is there; say failures in one line."""
    from http.client import HTTPException
    from urllib import error, request

    have = part.stat().st_size if part.is_file() else 0
    asked = request.Request(remote.url, headers={"User-Agent": f"sambench/{sambench.__version__}"})
    if have:
        asked.add_header("Range", f"bytes={have}-")
    with store_errors(part.parent):
        try:
            with request.urlopen(asked, timeout=PATIENCE) as response:
                _append(remote, part, response, have, progress)
        except (error.URLError, HTTPException, TimeoutError, ConnectionError) as failed:
            if have and getattr(failed, "code", None) == 416:
                return  # nothing lies beyond what there is already; the checksum will tell
            reason = getattr(failed, "reason", None) or str(failed) or type(failed).__name__
            raise DataError(
                f"cannot download {remote.url}: {reason}; check the network (the same command goes "
                f"on where it was cut), or put {remote.name} into {part.parent} yourself"
            ) from failed


def _append(remote: Remote, part: Path, response: Any, have: int, progress: Progress) -> None:
    if response.status != 206:  # the whole file, also where the server knows no ranges
        have = 0
    rest = int(response.headers.get("Content-Length") or 0)
    total = have + rest
    check_room(f"downloading {remote.name}", rest, part.parent, ROOM)
    with part.open("ab" if have else "wb") as file:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            have += len(chunk)
            progress(have, max(total, have), f"downloading {remote.name}")
        file.flush()
        os.fsync(file.fileno())
    if have < total:
        raise DataError(
            f"the download of {remote.url} was cut after {have:,} of {total:,} bytes; the same "
            "command goes on from there"
        )


def _extract(archive: Path, folder: Path) -> None:
    what, place = f"unpacking {archive.name}", folder.parent
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            check_room(what, sum(item.file_size for item in zipped.infolist()), place, ROOM)
            zipped.extractall(folder)  # drops what leads out of the folder
    else:
        with tarfile.open(archive) as tarred:
            check_room(what, sum(item.size for item in tarred), place, ROOM)
            tarred.extractall(folder, filter="data")  # refuses what leads out of the folder
