"""Downloads from a server on this machine, whole, cut and wrong."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from sambench.data import download
from sambench.data.download import Remote, fetch, unpack
from sambench.errors import DataError, StoreError
from sambench.files import atomic
from sambench.files.claim import lock

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


@dataclass
class Server:
    """What the server does, and what it was asked.

    Attributes:
        content: Of the file.
        ranges: Whether it can send a part of it.
        cut_after: Bytes after which it hangs up.
        code: Its answer, if it is no file.
        asked: The Range header of each request.
        url: Of the file.
    """

    content: bytes = CONTENT
    ranges: bool = True
    cut_after: int | None = None
    code: int = 200
    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append(wanted)
        if self.code != 200:
            handler.send_error(self.code)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(self.content):
            handler.send_error(416)
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.cut_after])


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve one file on this machine."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{running.server_address[1]}/file"
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield state
    running.shutdown()
    running.server_close()


@pytest.fixture
def remote(server) -> Remote:
    return Remote(url=server.url, name="file.bin", checksum=MD5)


def quietly(remote: Remote, folder: Path) -> Path:
    return fetch(remote, folder, lambda done, total, what: None)


def failure(remote: Remote, folder: Path) -> str:
    with pytest.raises((DataError, StoreError)) as caught:
        quietly(remote, folder)
    return str(caught.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once_with_progress(server, remote, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "CHUNK", 100_000)
    told: list[tuple[int, int, str]] = []
    path = fetch(remote, tmp_path / "raw", lambda *what: told.append(what))
    assert path.read_bytes() == CONTENT
    assert names(tmp_path / "raw") == ["file.bin"]
    assert told == [(n, 300_000, "downloading file.bin") for n in (100_000, 200_000, 300_000)]
    assert quietly(remote, tmp_path / "raw") == path
    assert server.asked == [None]


def test_a_cut_download_goes_on(server, remote, tmp_path):
    server.cut_after = 120_000
    assert failure(remote, tmp_path) == (
        f"the download of {server.url} was cut after 120,000 of 300,000 bytes; the same command "
        "goes on from there"
    )
    assert names(tmp_path) == [".file.bin.part"]
    server.cut_after = None
    assert quietly(remote, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=120000-"]


def test_a_server_without_ranges_sends_all_again(server, remote, tmp_path):
    server.cut_after, server.ranges = 120_000, False
    failure(remote, tmp_path)
    server.cut_after = None
    assert quietly(remote, tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_all_there_is(server, remote, tmp_path):
    (tmp_path / ".file.bin.part").write_bytes(CONTENT)
    assert quietly(remote, tmp_path).read_bytes() == CONTENT


def test_another_content_is_refused_and_not_kept(server, remote, tmp_path):
    server.content = b"<html>not here</html>"
    assert failure(remote, tmp_path) == (
        f"what came from {server.url} is not the published file ({MD5}); try again, or put the "
        f"file into {tmp_path} yourself"
    )
    assert names(tmp_path) == []


def test_a_wrong_file_that_is_there_already_is_not_overwritten(remote, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"mine")
    assert failure(remote, tmp_path) == (
        f"{tmp_path / 'file.bin'} is not the published file ({MD5}); delete it to download it again"
    )
    assert (tmp_path / "file.bin").read_bytes() == b"mine"


@pytest.mark.parametrize(("code", "reason"), [(404, "Not Found"), (503, "Service Unavailable")])
def test_a_server_that_refuses(server, remote, tmp_path, code, reason):
    server.code = code
    assert failure(remote, tmp_path) == (
        f"cannot download {server.url}: {reason}; check the network (the same command goes on "
        f"where it was cut), or put file.bin into {tmp_path} yourself"
    )


def test_no_server(remote, tmp_path):
    closed = replace(remote, url="http://127.0.0.1:9/file")
    assert failure(closed, tmp_path).startswith("cannot download http://127.0.0.1:9/file: ")


def test_two_at_once(remote, tmp_path):
    with lock(tmp_path / "file.bin", "downloading"):
        assert failure(remote, tmp_path) == (
            f"another process is downloading {tmp_path / 'file.bin'}; wait until it is done"
        )


def test_no_room(remote, tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "free_bytes", lambda folder: 200_000)
    assert failure(remote, tmp_path) == (
        f"downloading file.bin takes 300 kB in {tmp_path}, where 200 kB are free; free some space, "
        "or choose another `--raw DIR`"
    )


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_an_archive_is_unpacked_once(tmp_path):
    archive = zipped(tmp_path / "a.zip", one=b"1", two=b"22")
    folder = unpack(archive, tmp_path / "out")
    assert names(folder) == ["one", "two"]
    archive.unlink()
    assert unpack(archive, folder) == folder
    assert names(tmp_path) == ["out"]


def test_the_one_folder_around_all_files_is_taken_off(tmp_path):
    files = {"release/a/one": b"1", "release/two": b"2", "__MACOSX/release/._two": b""}
    assert names(unpack(zipped(tmp_path / "a.zip", **files), tmp_path / "out")) == ["a", "two"]
    alone = zipped(tmp_path / "b.zip", one=b"1")
    assert names(unpack(alone, tmp_path / "alone")) == ["one"]
    both = zipped(tmp_path / "c.zip", **{"Images/one": b"1", "Masks/one": b"1"})
    assert names(unpack(both, tmp_path / "both")) == ["Images", "Masks"]


def test_an_archive_that_leads_out_is_refused(tmp_path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as file:
        member = tarfile.TarInfo("../escaped")
        member.size = 1
        file.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(DataError, match=r"a\.tar cannot be unpacked: .*escaped.*; download it"):
        unpack(archive, tmp_path / "in" / "out")
    assert not (tmp_path / "in" / "escaped").exists()
    assert not (tmp_path / "in" / "out").exists()


def test_a_damaged_archive(tmp_path):
    archive = zipped(tmp_path / "a.zip", one=b"1" * 1000)
    archive.write_bytes(archive.read_bytes()[:500])
    with pytest.raises(DataError, match=r"a\.zip cannot be unpacked"):
        unpack(archive, tmp_path / "out")
    assert names(tmp_path) == ["a.zip"]


def test_no_room_to_unpack(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "free_bytes", lambda folder: 10)
    archive = zipped(tmp_path / "a.zip", one=b"1" * 1_000_000)
    with pytest.raises(StoreError, match=r"unpacking a\.zip takes 1\.0 MB in .*, where 0 kB are"):
        unpack(archive, tmp_path / "out")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as file:
        member = tarfile.TarInfo("one")
        member.size = 1_000_000
        file.addfile(member, io.BytesIO(b"1" * member.size))
    with pytest.raises(StoreError, match=r"unpacking b\.tar\.gz takes 1\.0 MB in"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out")
