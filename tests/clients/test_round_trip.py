"""Each client, in path style and virtual-hosted style, over HTTP and HTTPS, gets back exactly what it stored: from the
standard endpoint, and from another region's accelerated listener, cold and warm."""

import pytest

from s3_clients import CLIENTS


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("client_class", CLIENTS, ids=lambda client_class: client_class.__name__.lower())
def test_what_a_client_stores_it_gets_back(penstock, client_class, style, files, sha256, tmp_path):
    is_virtual_hosted = style == "virtual"
    owner = client_class(penstock.standard("ord1", is_virtual_hosted=is_virtual_hosted), tmp_path)
    bucket = f"{client_class.__name__.lower()}-{style}"
    owner.make_bucket(bucket)
    for name, file in files.items():
        owner.upload(file, bucket, f"folder/{name}")
    assert owner.keys(bucket) == [f"folder/{name}" for name in files]

    readers = tmp_path / "reader"
    readers.mkdir()
    reader = client_class(penstock.accelerated("las1", "ord1", is_virtual_hosted=is_virtual_hosted), readers)
    for attempt, client in enumerate([owner, reader, reader]):
        for name, file in files.items():
            got = tmp_path / f"{name}.{attempt}"
            client.download(bucket, f"folder/{name}", got)
            assert sha256(got) == sha256(file), f"{name}, attempt {attempt}"

    for name in files:
        owner.remove(bucket, f"folder/{name}")
    owner.remove_bucket(bucket)
