"""Four S3 clients behind one face, each used the way its manual says."""

import os
import subprocess
from pathlib import Path

import boto3
import botocore.exceptions
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from penstock import TARGET

TOOLS = TARGET / "clients"
PART_BYTES = 8 << 20


class Boto3:
    """The Python SDK."""

    def __init__(self, endpoint, folder):
        style = "virtual" if endpoint.is_virtual_hosted else "path"
        self.s3 = boto3.client(
            "s3",
            endpoint_url=endpoint.url,
            aws_access_key_id=endpoint.access_key,
            aws_secret_access_key=endpoint.secret_key,
            region_name="us-east-1",
            verify=str(endpoint.ca) if endpoint.ca else None,
            # Links are signed with V2 at endpoints other than AWS unless told so.
            config=Config(signature_version="s3v4", s3={"addressing_style": style}, retries={"max_attempts": 1}),
        )
        self._transfer = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)

    def make_bucket(self, bucket):
        self.s3.create_bucket(Bucket=bucket)

    def upload(self, file, bucket, key):
        self.s3.upload_file(str(file), bucket, key, Config=self._transfer)

    def download(self, bucket, key, file):
        self.s3.download_file(bucket, key, str(file), Config=self._transfer)

    def keys(self, bucket):
        return sorted(found["Key"] for found in self.s3.list_objects_v2(Bucket=bucket).get("Contents", []))

    def remove(self, bucket, key):
        self.s3.delete_object(Bucket=bucket, Key=key)

    def remove_bucket(self, bucket):
        self.s3.delete_bucket(Bucket=bucket)


class Aws:
    """The AWS command line."""

    def __init__(self, endpoint, folder):
        style = "virtual" if endpoint.is_virtual_hosted else "path"
        config = folder / "aws-config"
        config.write_text(f"[default]\nregion = us-east-1\ns3 =\n    addressing_style = {style}\n")
        self._command = [TOOLS / "python/bin/aws", "--endpoint-url", endpoint.url]
        self._environment = {
            "AWS_ACCESS_KEY_ID": endpoint.access_key,
            "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
            "AWS_CONFIG_FILE": str(config),
            "AWS_MAX_ATTEMPTS": "1",
        }
        if endpoint.ca:
            self._environment["AWS_CA_BUNDLE"] = str(endpoint.ca)

    def make_bucket(self, bucket):
        self.run("s3", "mb", f"s3://{bucket}")

    def upload(self, file, bucket, key):
        self.run("s3", "cp", "--no-progress", file, f"s3://{bucket}/{key}")

    def download(self, bucket, key, file):
        self.run("s3", "cp", "--no-progress", f"s3://{bucket}/{key}", file)

    def keys(self, bucket):
        query = ("--query", "sort(Contents[].Key)", "--output", "text")
        return self.run("s3api", "list-objects-v2", "--bucket", bucket, *query).split()

    def remove(self, bucket, key):
        self.run("s3", "rm", f"s3://{bucket}/{key}")

    def remove_bucket(self, bucket):
        self.run("s3", "rb", f"s3://{bucket}")

    def run(self, *arguments):
        return run([*self._command, *arguments], self._environment)

    def run_refused(self, *arguments):
        return run_refused([*self._command, *arguments], self._environment)


class S3cmd:
    """s3cmd 2."""

    def __init__(self, endpoint, folder):
        bucket_host = f"%(bucket)s.{endpoint.authority}" if endpoint.is_virtual_hosted else endpoint.authority
        config = folder / "s3cfg"
        config.write_text(
            "[default]\n"
            f"access_key = {endpoint.access_key}\n"
            f"secret_key = {endpoint.secret_key}\n"
            f"host_base = {endpoint.authority}\n"
            f"host_bucket = {bucket_host}\n"
            f"use_https = {endpoint.scheme == 'https'}\n"
            f"ca_certs_file = {endpoint.ca or ''}\n"
            "max_retries = 1\n"
        )
        self._command = [TOOLS / "python/bin/s3cmd", "--config", config, "--no-progress", f"--multipart-chunk-size-mb={PART_BYTES >> 20}"]

    def make_bucket(self, bucket):
        self.run("mb", f"s3://{bucket}")

    def upload(self, file, bucket, key):
        self.run("put", file, f"s3://{bucket}/{key}")

    def download(self, bucket, key, file):
        self.run("get", f"s3://{bucket}/{key}", file)

    def keys(self, bucket):
        lines = self.run("ls", "--recursive", f"s3://{bucket}").splitlines()
        return sorted(line.split(f"s3://{bucket}/")[1] for line in lines)

    def remove(self, bucket, key):
        self.run("del", f"s3://{bucket}/{key}")

    def remove_bucket(self, bucket):
        self.run("rb", f"s3://{bucket}")

    def run(self, *arguments):
        return run([*self._command, *arguments])

    def run_refused(self, *arguments):
        return run_refused([*self._command, *arguments])


class Rclone:
    """rclone, as a generic S3 store."""

    def __init__(self, endpoint, folder):
        self._command = [TOOLS / "tools/usr/bin/rclone", "--config", folder / "no-rclone.conf", "--retries", "1"]
        if endpoint.ca:
            self._command += ["--ca-cert", endpoint.ca]
        self._environment = {
            "RCLONE_CONFIG_STORE_TYPE": "s3",
            "RCLONE_CONFIG_STORE_PROVIDER": "Other",
            "RCLONE_CONFIG_STORE_ENDPOINT": endpoint.url,
            "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": endpoint.access_key,
            "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": endpoint.secret_key,
            "RCLONE_CONFIG_STORE_FORCE_PATH_STYLE": str(not endpoint.is_virtual_hosted).lower(),
            "RCLONE_CONFIG_STORE_UPLOAD_CUTOFF": f"{PART_BYTES >> 20}M",
            "RCLONE_CONFIG_STORE_CHUNK_SIZE": f"{PART_BYTES >> 20}M",
        }

    def make_bucket(self, bucket):
        self.run("mkdir", f"store:{bucket}")

    def upload(self, file, bucket, key):
        self.run("copyto", file, f"store:{bucket}/{key}")

    def download(self, bucket, key, file):
        self.run("copyto", f"store:{bucket}/{key}", file)

    def keys(self, bucket):
        return sorted(self.run("lsf", "--recursive", "--files-only", f"store:{bucket}").split())

    def remove(self, bucket, key):
        self.run("deletefile", f"store:{bucket}/{key}")

    def remove_bucket(self, bucket):
        self.run("rmdir", f"store:{bucket}")

    def run(self, *arguments):
        return run([*self._command, *arguments], self._environment)


CLIENTS = (Boto3, Aws, S3cmd, Rclone)


def refused(call, **arguments):
    """The status and the code that the SDK is refused with."""
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def run(command, environment=None):
    """Runs `command` to its end, which must be a success, without the caller's own S3 settings: what it printed."""
    done = finished(command, environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_refused(command, environment=None):
    """The same of what must fail: all that it said."""
    done = finished(command, environment)
    assert done.returncode != 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def finished(command, environment):
    clean = {"PATH": os.environ["PATH"], "HOME": str(Path("/nonexistent")), **(environment or {})}
    return subprocess.run([str(part) for part in command], env=clean, capture_output=True, text=True, timeout=300)
