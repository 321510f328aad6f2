"""What `penstock user create` prints works as it is, put where it says."""

import os
import subprocess

from penstock import TARGET
from s3_clients import TOOLS, run

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def user(penstock, *words, stdin=""):
    """`penstock user` with these words, which must succeed: what it printed."""
    command = [TARGET / "debug/penstock", "user", *words, "--data", penstock.data]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocks(printed):
    """The printed configurations by their tool; each begins with a line such as `# s3cmd: ~/.s3cfg`."""
    parts = printed.split("\n# ")[1:]
    return {part.split(":")[0]: part.split("\n", 1)[1] for part in parts if ":" in part.split("\n")[0]}


def test_printed_configurations_work_as_they_are(penstock, tmp_path):
    name = f"alice-{penstock.scheme}"
    own = ("--access-key", f"AKIDEXAMPLE{penstock.scheme.upper():x<9}", "--secret-key-file", "-")
    printed = user(penstock, "create", name, "--account", name, "--level", "full", "--region", "las1", *own, stdin=SECRET)
    configurations = blocks(printed)
    assert {"s3cmd", "aws", "rclone", "s5cmd"} <= configurations.keys(), printed

    (tmp_path / "hello.txt").write_text("hello")
    (tmp_path / ".s3cfg").write_text(configurations["s3cmd"])
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(configurations["aws"])
    (tmp_path / ".config/rclone").mkdir(parents=True)
    (tmp_path / ".config/rclone/rclone.conf").write_text(configurations["rclone"])
    home = {"HOME": str(tmp_path)}

    s3cmd = [TOOLS / "python/bin/s3cmd", "--no-progress"]
    run([*s3cmd, "mb", f"s3://{name}"], home)
    run([*s3cmd, "put", tmp_path / "hello.txt", f"s3://{name}/s3cmd"], home)

    aws = [TOOLS / "python/bin/aws", "--profile", name]
    run([*aws, "s3", "cp", tmp_path / "hello.txt", f"s3://{name}/aws"], home)
    assert name in run([*aws, "s3", "ls"], home)

    # The line that is printed with the remote says what else rclone has to be told.
    line = next(line for line in printed.splitlines() if line.startswith("# rclone"))
    words = line.split("`")[1].split()
    listed = run([TOOLS / "tools/usr/bin/rclone", *words[1:-2], "lsf", f"{name}:{name}"], home)
    assert listed.split() == ["aws", "s3cmd"]

    script = tmp_path / "s5cmd.sh"
    script.write_text(f"set -euo pipefail\n{configurations['s5cmd']}")
    path = f"{TOOLS / 'python/bin'}:{os.environ['PATH']}"
    assert f"s3://{name}" in run(["bash", script], {**home, "PATH": path})


def test_a_secret_is_shown_on_creation_and_when_it_is_asked_for(penstock):
    name = f"bob-{penstock.scheme}"
    own = ("--access-key", f"AKIDBOBBOBB{penstock.scheme.upper():x<9}", "--secret-key-file", "-")
    assert SECRET in user(penstock, "create", name, "--account", name, "--level", "read", *own, stdin=f"{SECRET}\n")
    assert SECRET not in user(penstock, "show", name) + user(penstock, "list") + penstock.log()
    assert SECRET in user(penstock, "show", name, "--reveal")
    assert SECRET not in penstock.log()
