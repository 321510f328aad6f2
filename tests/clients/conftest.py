"""What every client test has: a running Penstock over HTTP or HTTPS, and real files to move."""

import hashlib
import random

import pytest

from penstock import Penstock


@pytest.fixture(scope="session", params=["http", "https"])
def penstock(request, tmp_path_factory):
    """One for all tests of a scheme; each test makes its own bucket in it."""
    running = Penstock(tmp_path_factory.mktemp(request.param), request.param)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Contents by name: empty, small, and larger than one part of a multipart upload."""
    folder = tmp_path_factory.mktemp("files")
    generator = random.Random(2)
    for name, size in (("empty", 0), ("small", 1234), ("large", (20 << 20) + 77)):
        (folder / name).write_bytes(generator.randbytes(size))
    return {file.name: file for file in sorted(folder.iterdir())}


@pytest.fixture(scope="session")
def sha256():
    """SHA-256 of a file's content."""
    return lambda file: hashlib.sha256(file.read_bytes()).hexdigest()
