"""A `penstock dev` process for the client tests, and where its endpoints are."""

import json
import os
import shutil
import socket
import subprocess
import time
import tomllib
import urllib.request
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
REGIONS = ("ord1", "las1", "lga1")
DOMAIN = "penstock.localhost"
READY_WITHIN_SECONDS = 60

# What each region's node may use beyond its cache's memory.
ALLOWANCE_MIB = 256


@dataclass(frozen=True)
class Endpoint:
    """Where a client sends its requests, how it names buckets there, and as whom."""

    scheme: str
    host: str
    port: int
    is_virtual_hosted: bool
    access_key: str
    secret_key: str
    ca: Path | None

    @property
    def authority(self):
        return f"{self.host}:{self.port}"

    @property
    def url(self):
        return f"{self.scheme}://{self.authority}"


class Penstock:
    """All regions in one process, in the folder `folder`, over HTTP or HTTPS."""

    def __init__(self, folder, scheme):
        self.scheme = scheme
        self.data = folder / "data"
        self.port_base = free_port_base()
        self._log = folder / "log"
        arguments = ["dev", "--data", self.data, "--port-base", str(self.port_base)]
        if scheme == "https":
            arguments.append("--tls")
        with self._log.open("wb") as log:
            # It ends with the tests, also when they are killed.
            command = ["setpriv", "--pdeathsig", "KILL", "--", TARGET / "debug/penstock", *arguments]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._wait_until_ready()
        self.credentials = json.loads((self.data / "credentials.json").read_text())

    def standard(self, region, *, is_virtual_hosted=False):
        """The standard endpoint of `region`, where writes go."""
        return self._endpoint(f"object.{region}.{DOMAIN}", region, 0, is_virtual_hosted)

    def accelerated(self, at, region, *, is_virtual_hosted=False):
        """The accelerated listener of the node `at`, asked for the data of `region`."""
        return self._endpoint(f"accel-object.{region}.{DOMAIN}", at, 1, is_virtual_hosted)

    def stop(self):
        """Ends the process as a service manager does; it must exit with 0 and have logged no error.

        Its data go when all is well: three caches of a gigabyte each would stay for as long as pytest keeps folders.
        """
        peak, bound = self._peak_mib(), len(REGIONS) * (cache_memory_mib() + ALLOWANCE_MIB)
        assert peak < bound, f"the peak was {peak} MiB of {bound} MiB"
        self._process.terminate()
        status = self._process.wait(timeout=60)
        assert status == 0, self.log()
        assert "ERROR" not in self.log(), self.log()
        shutil.rmtree(self.data)

    def _peak_mib(self):
        """The most memory that the process has had so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) // 1024

    def log(self):
        """Everything it has printed and logged so far."""
        return self._log.read_text()

    def _endpoint(self, host, at, offset, is_virtual_hosted):
        return Endpoint(
            scheme=self.scheme,
            host=host,
            port=self.port_base + 10 * REGIONS.index(at) + offset,
            is_virtual_hosted=is_virtual_hosted,
            access_key=self.credentials["access_key"],
            secret_key=self.credentials["secret_key"],
            ca=self.data / "ca.pem" if self.scheme == "https" else None,
        )

    def _wait_until_ready(self):
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        for index in range(len(REGIONS)):
            url = f"http://127.0.0.1:{self.port_base + 10 * index + 2}/readyz"
            while not is_answered(url):
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)


def is_answered(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def cache_memory_mib():
    """Of each node, as the shipped regions.toml has it."""
    cache = tomllib.loads((REPOSITORY / "regions.toml").read_text())["cache"]
    number, unit = cache["memory_bytes"].split()
    return int(number) * {"MiB": 1, "GiB": 1024}[unit]


def free_port_base():
    """The first of 40 ports of which none is taken, below those that outgoing connections use."""
    for base in range(22_000, 32_000, 40):
        if all(is_free(port) for port in range(base, base + 40)):
            return base
    raise AssertionError("no block of free ports")


def is_free(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
