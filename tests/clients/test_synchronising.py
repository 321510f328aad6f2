"""Folders kept the same as a bucket by the tools that do that: what changed goes up, what went is removed, and the same tree
comes down through another region's cache."""

import os

import pytest

from s3_clients import Aws, Rclone, S3cmd

NAMES = ["a.txt", "a b.txt", "d/1.txt", "d/2.txt", "d/e/3.txt", "ü/4.txt", "plus+and&.txt"]


class AwsSync(Aws):
    def up(self, folder, bucket):
        return self.run("s3", "sync", "--no-progress", "--delete", folder, f"s3://{bucket}/tree")

    def down(self, bucket, folder):
        self.run("s3", "sync", "--no-progress", f"s3://{bucket}/tree", folder)


class S3cmdSync(S3cmd):
    def up(self, folder, bucket):
        return self.run("sync", "--delete-removed", f"{folder}/", f"s3://{bucket}/tree/")

    def down(self, bucket, folder):
        self.run("sync", f"s3://{bucket}/tree/", f"{folder}/")


class RcloneSync(Rclone):
    def up(self, folder, bucket):
        self.run("sync", folder, f"store:{bucket}/tree")
        # Holds the sums of both against each other.
        return self.run("check", folder, f"store:{bucket}/tree")

    def down(self, bucket, folder):
        self.run("sync", f"store:{bucket}/tree", folder)


def write(folder, contents):
    for name, body in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)


def read(folder):
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize("tool", [AwsSync, S3cmdSync, RcloneSync], ids=lambda tool: tool.__name__.lower())
def test_a_folder_and_a_bucket_stay_the_same(penstock, owner, tool, tmp_path):
    bucket = f"tree-{tool.__name__.lower()}"
    owner.create_bucket(Bucket=bucket)
    owner.put_object(Bucket=bucket, Key="beside", Body=b"not of the tree")
    (tmp_path / "far").mkdir()
    near, far = tool(penstock.standard("ord1"), tmp_path), tool(penstock.accelerated("las1", "ord1"), tmp_path / "far")
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    write(here, {name: f"first {name}".encode() for name in NAMES} | {"empty": b""})
    near.up(here, bucket)
    far.down(bucket, there)
    assert read(there) == read(here)
    # One is changed, one is new, one goes.
    write(here, {"a.txt": b"second, and longer", "new.txt": b"new"})
    os.remove(here / "d/2.txt")
    near.up(here, bucket)
    anew = tmp_path / "anew"
    anew.mkdir()
    far.down(bucket, anew)
    assert read(anew) == read(here)
    keys = [found["Key"] for found in owner.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["beside", *sorted((f"tree/{name}" for name in read(here)), key=str.encode)]
