//! ListObjects and ListObjectsV2.

use crate::region::Region;

async fn region_with(keys: &[&str]) -> Region {
    let region = Region::start().await;
    futures::future::join_all(keys.iter().map(|key| region.put(key, "x"))).await;
    region
}

#[tokio::test]
async fn objects_are_listed_in_the_order_of_their_bytes() {
    let region = region_with(&["b", "a", "a/b", "a-b", "B", "%C3%A4"]).await;
    for query in ["", "list-type=2"] {
        assert_eq!(region.list(query, "Key").await, ["B", "a", "a-b", "a/b", "b", "ä"]);
    }
    let listed = region.send("GET", "/photos", &[], "").await.ok();
    assert_eq!(listed.element("Size"), "1");
    assert_eq!(listed.element("ETag"), "\"9dd4e461268c8034f5c8564e155c67a6\"");
    assert_eq!(listed.element("StorageClass"), "STANDARD");
    assert_eq!(listed.element("ID"), "anne-id");
    assert_eq!(listed.element("IsTruncated"), "false");
    assert_eq!(listed.element("MaxKeys"), "1000");
}

#[tokio::test]
async fn version_two_names_the_owner_only_when_asked() {
    let region = region_with(&["a"]).await;
    assert!(region.list("list-type=2", "Owner").await.is_empty());
    assert_eq!(region.list("list-type=2&fetch-owner=true", "ID").await, ["anne-id"]);
    assert_eq!(region.list("list-type=2", "KeyCount").await, ["1"]);
}

/// Mountpoint, and PyTorch's connector that is built on its client, ask for it in every listing.
#[tokio::test]
async fn no_object_has_a_restore_status() {
    let region = region_with(&["a"]).await;
    for target in ["/photos", "/photos?list-type=2", "/photos?versions"] {
        let listed = async |attributes| {
            region.send("GET", target, &[("x-amz-optional-object-attributes", attributes)], "").await
        };
        let named = listed("RestoreStatus").await.ok();
        assert_eq!(named.elements("Key"), ["a"], "{target}");
        assert!(named.elements("RestoreStatus").is_empty(), "{target}");
        assert_eq!(listed("RestoreStatus,Weight").await.error(), (501, "NotImplemented".into()), "{target}");
    }
}

#[tokio::test]
async fn a_delimiter_groups_keys() {
    let region = region_with(&["a", "b/1", "b/2", "b/c/3", "bb", "c/", "d//e"]).await;
    let listed = region.send("GET", "/photos?delimiter=/", &[], "").await.ok();
    assert_eq!(listed.elements("Key"), ["a", "bb"]);
    assert_eq!(listed.elements("Prefix"), ["", "b/", "c/", "d/"]);
    let listed = region.send("GET", "/photos?delimiter=/&prefix=b/", &[], "").await.ok();
    assert_eq!(listed.elements("Key"), ["b/1", "b/2"]);
    assert_eq!(listed.elements("Prefix"), ["b/", "b/c/"]);
    let listed = region.send("GET", "/photos?delimiter=/&prefix=c/", &[], "").await.ok();
    assert_eq!((listed.elements("Key"), listed.elements("CommonPrefixes").len()), (vec!["c/".to_owned()], 0));
    let listed = region.send("GET", "/photos?delimiter=/&prefix=d/", &[], "").await.ok();
    assert_eq!(listed.elements("Prefix"), ["d/", "d//"]);
}

/// Page by page, whatever the page size, each entry comes once and in order.
#[tokio::test]
async fn pages_of_any_size_show_each_entry_once() {
    let region = region_with(&["a", "b/1", "b/2", "b0", "c/1", "c/2", "d", "e/1"]).await;
    let entries = ["a", "b/", "b0", "c/", "d", "e/"];
    for max in 1..=7 {
        let (mut marker, mut seen) = (String::new(), Vec::new());
        loop {
            let page = region
                .send("GET", &format!("/photos?delimiter=/&max-keys={max}&marker={marker}"), &[], "")
                .await
                .ok();
            assert!(page.elements("Key").len() + page.elements("CommonPrefixes").len() <= max);
            seen.extend(page.elements("Key"));
            seen.extend(
                page.elements("CommonPrefixes")
                    .iter()
                    .map(|prefix| prefix.replace("<Prefix>", "").replace("</Prefix>", "")),
            );
            if page.element("IsTruncated") == "false" {
                break;
            }
            marker = page.element("NextMarker");
        }
        seen.sort();
        assert_eq!(seen, entries, "ListObjects, {max} a page");

        let (mut token, mut seen) = (String::new(), Vec::new());
        loop {
            let page = region
                .send(
                    "GET",
                    &format!("/photos?list-type=2&delimiter=/&max-keys={max}&continuation-token={token}"),
                    &[],
                    "",
                )
                .await
                .ok();
            seen.extend(page.elements("Key"));
            seen.extend(
                page.elements("CommonPrefixes")
                    .iter()
                    .map(|prefix| prefix.replace("<Prefix>", "").replace("</Prefix>", "")),
            );
            if page.element("IsTruncated") == "false" {
                break;
            }
            token = page.element("NextContinuationToken");
        }
        seen.sort();
        assert_eq!(seen, entries, "ListObjectsV2, {max} a page");
    }
}

#[tokio::test]
async fn no_keys_are_listed_when_none_are_wanted() {
    let region = region_with(&["a"]).await;
    let listed = region.send("GET", "/photos?max-keys=0", &[], "").await.ok();
    assert_eq!((listed.elements("Key").len(), listed.element("IsTruncated")), (0, "false".to_owned()));
    assert_eq!(
        region.send("GET", "/photos?max-keys=-1", &[], "").await.error(),
        (400, "InvalidArgument".into())
    );
    assert_eq!(region.send("GET", "/photos?max-keys=5000", &[], "").await.ok().element("MaxKeys"), "1000");
}

#[tokio::test]
async fn listings_go_on_after_any_key() {
    let region = region_with(&["a", "b", "c"]).await;
    assert_eq!(region.list("marker=b", "Key").await, ["c"]);
    assert_eq!(region.list("marker=aa", "Key").await, ["b", "c"]);
    assert_eq!(region.list("marker=z", "Key").await, [""; 0]);
    assert_eq!(region.list("list-type=2&start-after=a", "Key").await, ["b", "c"]);
    assert_eq!(region.list("list-type=2&start-after=a&continuation-token=Yg", "Key").await, ["c"]);
    let wrong = region.send("GET", "/photos?list-type=2&continuation-token=*", &[], "").await;
    assert_eq!(wrong.error(), (400, "InvalidArgument".into()));
}

#[tokio::test]
async fn names_are_encoded_when_asked() {
    let region = region_with(&["a%20b/c%2Bd", "e%0Af"]).await;
    let listed = region.send("GET", "/photos?encoding-type=url&prefix=a%20b/", &[], "").await.ok();
    assert_eq!(
        (listed.element("Key"), listed.element("Prefix"), listed.element("EncodingType")),
        ("a%20b/c%2Bd".into(), "a b/".into(), "url".into())
    );
    assert_eq!(region.list("list-type=2&encoding-type=url&prefix=a%20b/", "Prefix").await, ["a%20b/"]);
    assert_eq!(region.list("encoding-type=url&marker=b", "Key").await, ["e%0Af"]);
    let wrong = region.send("GET", "/photos?encoding-type=base64", &[], "").await;
    assert_eq!(wrong.error(), (400, "InvalidArgument".into()));
}
