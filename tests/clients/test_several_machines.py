"""README's way to several machines works as it is written: its blocks are run, each where it says, on addresses of this machine.

What is changed in them: the machines' addresses, which are here of loopback, and what takes time or is done already, the build.
"""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from penstock import READY_WITHIN_SECONDS, REGIONS, REPOSITORY, TARGET, is_answered
from s3_clients import TOOLS

BLOCK = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.MULTILINE)
COMMAND_WITHIN_SECONDS = 300

# What README's walk makes and pulls twice.
OBJECT_BYTES = 20 << 20


@pytest.fixture
def walk(tmp_path):
    """The machines, with no node running yet."""
    walk = Walk(tmp_path)
    yield walk
    walk.end()


def test_readme_leads_to_several_machines(walk):
    prepare, on_each, at_home, anywhere = walk.blocks()

    # The operator's machine: the repository.
    build, prepare = prepare.split("mkdir site", 1)
    assert build.count("cargo build") == 1
    walk.run("mkdir site" + prepare, walk.operator)
    for region in REGIONS:
        machine = walk.folder / region
        machine.mkdir()
        for file in ("regions.toml", f"{region}.tar"):
            shutil.copy(walk.operator / "site" / file, machine)

    for region in REGIONS:
        before, serve = on_each.replace("ord1", region).split("penstock serve", 1)
        assert "no fault found" in walk.run(before, walk.folder / region)
        walk.serve(region, "penstock serve" + serve)
    walk.wait_until_ready()

    assert "grants users" in walk.run(at_home, walk.folder / "ord1")
    shutil.copy(walk.folder / "ord1/alice.json", walk.client)
    given = bytes_by_tier(walk.run(anywhere, walk.client), "ord1")
    assert sum(given.values()) == 2 * OBJECT_BYTES and given["memory"] > 0 and given["origin"] > 0, given

    # A node that died is started again, and has the blocks that had been written by then.
    walk.kill("lga1")
    walk.serve("lga1", "penstock serve --region lga1")
    walk.wait_until_ready()
    pulls = [line for line in anywhere.splitlines() if line.startswith(("export", "curl")) or line.endswith(" pulled")]
    given = bytes_by_tier(walk.run("\n".join(pulls), walk.client), "ord1")
    assert sum(given.values()) == 2 * OBJECT_BYTES and given["nvme"] > 0, given

    # Another region: first its name everywhere, then its node.
    add_region(walk)
    for region in REGIONS:
        walk.stop(region)
        walk.serve(region, f"penstock serve --region {region}")
    walk.wait_until_ready()
    walk.serve("phx1", "penstock serve --region phx1")
    walk.wait_until_ready()
    given = bytes_by_tier(walk.run(anywhere.replace("ord1", "phx1"), walk.client), "phx1")
    assert sum(given.values()) == 2 * OBJECT_BYTES and given["origin"] > 0, given


def add_region(walk):
    """As README says it of phx1."""
    site = walk.operator / "site"
    settings = (site / "regions.toml").read_text()
    first = settings.index("[[region]]")
    one = settings[first : settings.index("[[region]]", first + 1)]
    other = one.replace("ord1", "phx1").replace(walk.address("ord1"), walk.address("phx1"))
    (site / "regions.toml").write_text(settings.replace(one, one + other))
    walk.run("penstock cluster node phx1", site)
    machine = walk.folder / "phx1"
    (machine / "penstock-data/cluster").mkdir(parents=True, mode=0o700)
    for file in ("ca.pem", "cluster.key", "phx1.pem", "phx1.key"):
        shutil.copy(site / "penstock-data/cluster" / file, machine / "penstock-data/cluster")
    for region in (*REGIONS, "phx1"):
        shutil.copy(site / "regions.toml", walk.folder / region)


def bytes_by_tier(metrics, region):
    """What a node gave of `region`'s data, by where it had it, as the last command shows it."""
    tiers = re.findall(rf'cache_bytes_total\{{[^}}]*region="{region}",result="(\w+)"[^}}]*\}} (\d+)', metrics)
    assert tiers, metrics
    return {tier: int(number) for tier, number in tiers}


class Walk:
    """A folder for the operator's machine, one for each node's and one for a client's."""

    def __init__(self, folder):
        self.folder = folder
        self.operator, self.client = folder / "operator", folder / "client"
        self.operator.mkdir()
        self.client.mkdir()
        shutil.copy(REPOSITORY / "regions.toml", self.operator)
        # Nobody else listens on these addresses: all but one of loopback's are free.
        self._network = f"127.{1 + os.getpid() % 250}"
        self._nodes = {}

    def blocks(self):
        """The section's commands, block by block."""
        readme = (REPOSITORY / "README.md").read_text()
        section = readme.split("\n## Several machines\n", 1)[1].split("\n## ", 1)[0]
        blocks = ["\n".join(line[4:] for line in block.splitlines()).strip() for block in BLOCK.findall(section)]
        return [block.replace("10.0.", f"{self._network}.") for block in blocks]

    def address(self, region):
        return f"{self._network}.{(*REGIONS, 'phx1').index(region) + 1}.1"

    def run(self, script, folder):
        """What `script` prints, run by a shell in `folder`."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=self._environment(folder),
            capture_output=True,
            text=True,
            timeout=COMMAND_WITHIN_SECONDS,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}{self._logs()}"
        return done.stdout

    def serve(self, region, command):
        """Has `command` run on `region`'s machine from now on."""
        folder = self.folder / region
        with (folder / "log").open("ab") as log:
            # It ends with the tests, also when they are killed.
            self._nodes[region] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", "bash", "-c", f"exec {command.strip()}"],
                cwd=folder,
                env=self._environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self):
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        for region, node in self._nodes.items():
            while not is_answered(f"http://{self.address(region)}:9002/readyz"):
                assert node.poll() is None and time.monotonic() < deadline, self._logs()
                time.sleep(0.02)

    def kill(self, region):
        node = self._nodes.pop(region)
        node.kill()
        node.wait()

    def stop(self, region):
        node = self._nodes.pop(region)
        node.send_signal(signal.SIGTERM)
        assert node.wait(timeout=60) == 0, self._logs()

    def end(self):
        """Ends the nodes; their data go: a cache of a gigabyte each would stay for as long as pytest keeps folders."""
        for node in self._nodes.values():
            node.kill()
            node.wait()
        for region in (*REGIONS, "phx1"):
            shutil.rmtree(self.folder / region, ignore_errors=True)

    def _logs(self):
        return "".join(f"\n{log}:\n{log.read_text()}" for log in sorted(self.folder.glob("*/log")))

    def _environment(self, folder):
        path = f"{TARGET / 'debug'}:{TOOLS / 'python/bin'}:{TOOLS / 'tools/usr/bin'}:{os.environ['PATH']}"
        return {"PATH": path, "HOME": str(folder)}
