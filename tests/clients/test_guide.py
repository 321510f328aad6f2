"""The lines that `penstock dev` prints work as they are, pasted into a shell."""

import os
import subprocess

from s3_clients import TOOLS


def test_printed_lines_work_as_they_are(penstock, tmp_path):
    printed = penstock.log().split("To paste into another terminal:")[1]
    lines = [line for line in printed.splitlines() if line.startswith("  ")]
    programs = {line.split()[0] for line in lines}
    assert {"aws", "s3cmd", "rclone", "curl"} <= programs, printed

    # The last line reads through a cache: pasted twice, it says miss, then hit.
    script = "\n".join(["set -euo pipefail", *lines, "echo; echo again", lines[-1]])
    path = f"{TOOLS / 'python/bin'}:{TOOLS / 'tools/usr/bin'}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    listed, pulled = done.stdout.split("HTTP/", 1)
    assert listed.count("hello.txt") >= 3, done.stdout
    cold, warm = pulled.split("again")
    assert "Hello from ord1" in cold and "Hello from ord1" in warm
    assert "; hit" not in cold and "; hit" in warm, pulled
