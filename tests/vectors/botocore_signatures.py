"""Writes gateway/src/sigv4/tests/botocore.json: requests as botocore signs and sends them, at one fixed moment.

Run it with a Python that has botocore, from anywhere; commit what it writes. Nothing is sent anywhere.
"""

import datetime
import io
import json
import pathlib
from unittest import mock

import botocore
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.session

ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
KEYS = ["a", "a b", "a+b", "a/../b", "//a", "ü/é", "100%/~x", "(a)='b'!*$,;:@&", "a?b=c#d", "<\"\\^`{|}>"]
VERSION = "v/1+2="


def client(region, style):
    config = botocore.config.Config(
        region_name=region, signature_version="s3v4", s3={"addressing_style": style}, retries={"total_max_attempts": 1}
    )
    session = botocore.session.Session()
    session.set_credentials(ACCESS_KEY, SECRET_KEY)
    endpoint = "http://object.ord1.penstock.localhost:9000"
    made = session.create_client("s3", endpoint_url=endpoint, config=config, region_name=region)
    made.meta.events.register("before-send.s3", lambda request, **_: capture(request))
    return made


class Response:
    """An answer that botocore is content with, so that it does not send the request."""

    status_code, headers, content, raw = 200, {}, b"<a/>", io.BytesIO()


captured = []


def capture(request):
    captured.append(vector(request.method, request.url, request.headers))
    return Response()


def vector(method, url, headers):
    host, slash, rest = url.removeprefix("http://").partition("/")
    text = {name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in headers.items()}
    # Not signed, and different in each run.
    for name in ["user-agent", "amz-sdk-invocation-id", "amz-sdk-request"]:
        text.pop(name, None)
    return {"method": method, "target": slash + rest, "headers": {"host": host, **text}}


def calls(s3):
    for key in KEYS:
        named = {"Bucket": "photos", "Key": key}
        s3.get_object(**named, Range="bytes=0-9", VersionId=VERSION)
        s3.head_object(**named)
        s3.delete_object(**named)
        s3.put_object(**named, Body=b"body", ContentType="text/plain; charset=utf-8", Metadata={"colour": "deep  red"})
    s3.get_object(**named, ResponseContentDisposition='attachment; filename="a b+c.txt"', ChecksumMode="ENABLED")
    s3.get_object(**named, IfNoneMatch='"a,b"', ExpectedBucketOwner="111122223333")
    s3.list_buckets()
    s3.head_bucket(Bucket="photos")
    s3.get_bucket_location(Bucket="photos")
    s3.list_objects_v2(Bucket="photos", Prefix="a b/+ü", Delimiter="/", StartAfter="ä", EncodingType="url")
    s3.list_objects(Bucket="photos", Marker="&=?")
    s3.list_multipart_uploads(Bucket="photos", MaxUploads=2)
    s3.upload_part(**named, UploadId="u/+=", PartNumber=2, Body=b"part")
    s3.copy_object(**named, CopySource={"Bucket": "photos", "Key": "ü +", "VersionId": VERSION})
    s3.create_multipart_upload(**named, ContentType="application/octet-stream")
    s3.abort_multipart_upload(**named, UploadId="u")
    s3.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "a"}]})
    for key in KEYS:
        for operation, method in [("get_object", "GET"), ("head_object", "HEAD"), ("put_object", "PUT")]:
            url = s3.generate_presigned_url(operation, {"Bucket": "photos", "Key": key}, ExpiresIn=604800)
            headers = {"Content-Length": "4"} if method == "PUT" else {}
            captured.append(vector(method, url, headers))
    parameters = {**named, "VersionId": VERSION, "ResponseContentType": "text/plain; charset=utf-8"}
    captured.append(vector("GET", s3.generate_presigned_url("get_object", parameters, ExpiresIn=1), {}))


def main():
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: NOW.replace(tzinfo=None)):
        for region, style in [("us-east-1", "path"), ("ord1", "virtual")]:
            calls(client(region, style))
    root = pathlib.Path(__file__).resolve().parents[2]
    lines = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in captured)
    document = f'{{"botocore": "{botocore.__version__}", "signed_at": "20260102T030405Z", "requests": [\n{lines}\n]}}\n'
    (root / "gateway/src/sigv4/tests/botocore.json").write_text(document)
    print(f"{len(captured)} requests")


main()
