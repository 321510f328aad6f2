//! PutBucketLifecycleConfiguration, GetBucketLifecycleConfiguration, DeleteBucketLifecycle, and what becomes of objects,
//! versions and uploads with time.

use std::time::Duration;

use http::StatusCode;
use origin::lifecycle::Day;
use origin::regional::Applied;

use crate::region::{Answer, Region, bytes};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn noncurrent(days: u32) -> String {
    format!(
        "<NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays></NoncurrentVersionExpiration>"
    )
}

/// One enabled rule of these elements, which holds for keys that start with `old/`.
fn rule(elements: &str) -> String {
    format!(
        "<Rule><ID>one</ID><Status>Enabled</Status><Filter><Prefix>old/</Prefix></Filter>{elements}</Rule>"
    )
}

fn expiration(text: &str) -> String {
    rule(&format!("<Expiration>{text}</Expiration>"))
}

/// A region where nothing goes but by a test's own passes.
async fn start() -> Region {
    let region = Region::start().await;
    region.first_pass().await;
    region
}

impl Region {
    async fn put_rules(&self, rules: &str) -> Answer {
        let body = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
        self.send("PUT", "/photos?lifecycle", &[], body).await
    }

    /// What one pass does when this time has gone by.
    async fn after(&self, time: Duration) -> Applied {
        self.clock.advance(time);
        self.store.apply_lifecycle().await.expect("a pass")
    }

    /// The keys of all versions, newest first of each, and then those of all delete markers.
    async fn all_keys(&self) -> (Vec<String>, Vec<String>) {
        let listing = self.send("GET", "/photos?versions", &[], "").await.ok();
        let keys = |name| {
            let key = |version: String| {
                version
                    .split_once("<Key>")
                    .and_then(|(_, rest)| rest.split_once('<'))
                    .expect("a key")
                    .0
                    .to_owned()
            };
            listing.elements(name).into_iter().map(key).collect()
        };
        (keys("Version"), keys("DeleteMarker"))
    }
}

#[tokio::test]
async fn rules_are_shown_as_they_were_put_until_they_are_deleted() {
    let mut region = start().await;
    let none = (404, "NoSuchLifecycleConfiguration".to_owned());
    assert_eq!(region.send("GET", "/photos?lifecycle", &[], "").await.error(), none);
    let rules = "<Rule><Status>Disabled</Status><Prefix>a</Prefix><Expiration><Days>7</Days></Expiration></Rule>\
        <Rule><ID>two</ID><Status>Enabled</Status><Filter/>\
        <Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration>\
        <NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays>\
        <NewerNoncurrentVersions>5</NewerNoncurrentVersions></NoncurrentVersionExpiration>\
        <AbortIncompleteMultipartUpload><DaysAfterInitiation>9</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>";
    region.put_rules(rules).await.ok();
    region.reopen().await;
    let shown = region.send("GET", "/photos?lifecycle", &[], "").await.ok();
    assert_eq!(shown.elements("Status"), ["Disabled", "Enabled"]);
    assert_eq!(shown.elements("ID").len(), 2, "one was given a name");
    for (name, value) in [
        ("Prefix", "a"),
        ("Days", "7"),
        ("Date", "2030-01-01T00:00:00.000Z"),
        ("NoncurrentDays", "3"),
        ("NewerNoncurrentVersions", "5"),
        ("DaysAfterInitiation", "9"),
    ] {
        assert_eq!(shown.elements(name), [value], "{name}");
    }
    let refused = region.put_rules(&expiration("<Days>0</Days>")).await;
    assert_eq!(refused.error(), (400, "InvalidArgument".to_owned()));
    let same = region.send("GET", "/photos?lifecycle", &[], "").await.ok();
    assert_eq!(same.body, shown.body, "what is refused changes nothing");
    let transition = "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>";
    assert_eq!(region.put_rules(&rule(transition)).await.error(), (501, "NotImplemented".to_owned()));
    assert_eq!(region.send("DELETE", "/photos?lifecycle", &[], "").await.status, 204);
    assert_eq!(region.send("GET", "/photos?lifecycle", &[], "").await.error(), none);
    assert_eq!(region.send("DELETE", "/photos?lifecycle", &[], "").await.status, 204);
}

#[tokio::test]
async fn an_object_says_when_it_goes_and_goes_then() {
    let region = start().await;
    assert_eq!(region.put("old/before", "v").await.header("x-amz-expiration"), "");
    region.put_rules(&expiration("<Days>2</Days>")).await.ok();
    let put = region.put("old/a", bytes(100_000)).await;
    let said = put.header("x-amz-expiration").to_owned();
    assert!(said.ends_with(" 00:00:00 GMT\", rule-id=\"one\""), "{said}");
    for method in ["GET", "HEAD"] {
        let read = region.send(method, "/photos/old/a", &[], "").await.ok();
        assert_eq!(read.header("x-amz-expiration"), said, "{method}");
        let of_version = region.send(method, "/photos/old/a?versionId=null", &[], "").await.ok();
        assert_eq!(of_version.header("x-amz-expiration"), "", "nobody looks whether a version is current");
    }
    let copy = region.put_with("old/copy", "", &[("x-amz-copy-source", "photos/old/a")]).await.ok();
    assert_eq!(copy.header("x-amz-expiration"), said);
    assert_eq!(region.put("new/a", "v").await.header("x-amz-expiration"), "");
    let upload_id = region.start_upload("old/parts", &[]).await;
    let part = region.put_part("old/parts", &upload_id, 1, "v").await.ok();
    for _ in ["finished", "finished again"] {
        let finished = region.complete("old/parts", &upload_id, &[(1, part.header("etag"))]).await.ok();
        assert_eq!(finished.header("x-amz-expiration"), said);
    }

    // Two days end at the midnight after.
    assert_eq!(region.after(2 * DAY - Duration::from_secs(60)).await, Applied::default());
    let applied = region.after(DAY + Duration::from_secs(60)).await;
    assert_eq!(applied, Applied { expired_count: 4, ..Applied::default() });
    assert_eq!(region.all_keys().await, (vec!["new/a".to_owned()], vec![]));
    assert_eq!(region.get("old/a").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_date_holds_for_what_comes_after_it_too() {
    let region = start().await;
    region.put("old/a", "v").await;
    region.put_rules(&expiration("<Date>2015-01-01T00:00:00Z</Date>")).await.ok();
    assert_eq!(region.after(Duration::ZERO).await.expired_count, 1);
    region.put("old/b", "v").await;
    assert_eq!(region.after(Duration::ZERO).await.expired_count, 1);
    region.put_rules(&expiration("<Date>2130-01-01T00:00:00Z</Date>")).await.ok();
    region.put("old/c", "v").await;
    assert_eq!(region.after(DAY).await, Applied::default());
}

#[tokio::test]
async fn what_a_rule_is_not_about_stays() {
    let region = start().await;
    let rule = |filter: &str, id: &str| {
        format!(
            "<Rule><ID>{id}</ID><Status>Enabled</Status><Filter>{filter}</Filter><Expiration><Days>1</Days></Expiration></Rule>"
        )
    };
    let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
    let disabled = rule("<Prefix>off/</Prefix>", "off").replace("Enabled", "Disabled");
    let rules = rule(&format!("<And><Prefix>tagged/</Prefix>{tag}</And>"), "tag")
        + &rule(
            "<And><Prefix>sized/</Prefix><ObjectSizeGreaterThan>3</ObjectSizeGreaterThan><ObjectSizeLessThan>5</ObjectSizeLessThan></And>",
            "size",
        )
        + &disabled;
    region.put_rules(&rules).await.ok();
    for (key, body, tags) in [
        ("tagged/goes", "v", "k=v&l=w"),
        ("tagged/stays", "v", "k=w"),
        ("tagged/untagged", "v", ""),
        ("sized/3", "123", ""),
        ("sized/4", "1234", ""),
        ("sized/5", "12345", ""),
        ("off/a", "v", ""),
        ("sized", "1234", ""),
    ] {
        region.put_with(key, body, &[("x-amz-tagging", tags)]).await.ok();
    }
    // Tags count as they are when the time has come.
    region.put_with("tagged/later", "v", &[("x-amz-tagging", "k=w")]).await.ok();
    let tagging = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
    region.send("PUT", "/photos/tagged/later?tagging", &[], tagging).await.ok();
    assert_eq!(region.after(2 * DAY).await.expired_count, 3);
    let (left, _) = region.all_keys().await;
    assert_eq!(left, ["off/a", "sized", "sized/3", "sized/5", "tagged/stays", "tagged/untagged"]);
}

#[tokio::test]
async fn where_versions_are_kept_an_object_goes_under_a_marker_and_the_marker_goes_last() {
    let region = start().await;
    region.set_versioning("Enabled").await.ok();
    region.put("old/a", "one").await;
    region.put("new/a", "one").await;
    let rules = "<Expiration><Days>1</Days></Expiration>\
        <NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays></NoncurrentVersionExpiration>";
    region.put_rules(&rule(rules)).await.ok();
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();

    assert_eq!(region.after(2 * DAY).await, Applied { expired_count: 1, ..Applied::default() });
    assert_eq!(region.all_keys().await, (keys(&["new/a", "old/a"]), keys(&["old/a"])));
    assert_eq!(region.get("old/a").await.status, StatusCode::NOT_FOUND);
    // A marker is made by no client of the bucket: it is the bucket owner's.
    let listing = region.send("GET", "/photos?versions&prefix=old/", &[], "").await.ok();
    assert_eq!(listing.elements("DisplayName"), ["anne", "anne"]);

    assert_eq!(region.after(2 * DAY).await, Applied::default(), "not current for two days");
    assert_eq!(region.after(2 * DAY).await, Applied { noncurrent_count: 1, ..Applied::default() });
    assert_eq!(region.all_keys().await, (keys(&["new/a"]), keys(&["old/a"])));
    assert_eq!(region.after(Duration::ZERO).await, Applied { markers_count: 1, ..Applied::default() });
    assert_eq!(region.all_keys().await, (keys(&["new/a"]), vec![]));
}

#[tokio::test]
async fn where_versions_were_kept_the_null_version_makes_way_for_the_marker() {
    let region = start().await;
    region.set_versioning("Enabled").await.ok();
    region.put("old/a", "one").await;
    region.set_versioning("Suspended").await.ok();
    region.put("old/a", "null").await;
    region.put_rules(&expiration("<Days>1</Days>")).await.ok();
    assert_eq!(region.after(2 * DAY).await.expired_count, 1);
    let (versions, markers) = region.all_keys().await;
    assert_eq!((versions.len(), markers.len()), (1, 1));
    let listing = region.send("GET", "/photos?versions", &[], "").await.ok();
    assert!(listing.elements("DeleteMarker")[0].contains("<VersionId>null</VersionId>"));
    assert_eq!(region.after(2 * DAY).await, Applied::default(), "the old version stays, and so its marker");
}

/// Each of these writes replaces the null version, which is current: what is beneath it is no newer for that.
#[tokio::test]
async fn an_old_version_goes_however_often_the_one_above_it_is_written() {
    let region = start().await;
    region.set_versioning("Enabled").await.ok();
    region.put("old/a", "one").await;
    region.send("DELETE", "/photos/old/b", &[], "").await.ok();
    region.set_versioning("Suspended").await.ok();
    region.put_rules(&rule(&noncurrent(3))).await.ok();
    for _ in 0..3 {
        region.put("old/a", "null").await;
        region.send("DELETE", "/photos/old/a", &[], "").await.ok();
        region.put("old/b", "null").await;
        assert_eq!(region.after(DAY).await, Applied::default());
    }
    region.put("old/a", "null").await;
    region.put("old/b", "null").await;
    assert_eq!(region.after(DAY).await, Applied { noncurrent_count: 2, ..Applied::default() });
    assert_eq!(region.all_keys().await, (vec!["old/a".to_owned(), "old/b".to_owned()], vec![]));
}

#[tokio::test]
async fn a_version_has_not_been_current_since_it_was_replaced_whatever_became_of_what_replaced_it() {
    let region = start().await;
    region.set_versioning("Enabled").await.ok();
    region.put_rules(&rule(&noncurrent(3))).await.ok();
    region.put("old/a", "one").await;
    let second = region.put("old/a", "two").await.header("x-amz-version-id").to_owned();
    region.put("old/b", "one").await;
    let above = region.put("old/b", "two").await.header("x-amz-version-id").to_owned();
    assert_eq!(region.after(2 * DAY).await, Applied::default());
    region.put("old/a", "three").await;
    region.send("DELETE", &format!("/photos/old/a?versionId={second}"), &[], "").await.ok();
    // What is current again has never been anything else.
    region.send("DELETE", &format!("/photos/old/b?versionId={above}"), &[], "").await.ok();
    region.put("old/b", "three").await;
    // Tags change nothing about it.
    let listing = region.send("GET", "/photos?versions&prefix=old/a", &[], "").await.ok();
    let first = listing.elements("VersionId").pop().expect("two versions");
    let tagging = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
    region.send("PUT", &format!("/photos/old/a?tagging&versionId={first}"), &[], tagging).await.ok();
    assert_eq!(region.after(2 * DAY).await, Applied { noncurrent_count: 1, ..Applied::default() });
    assert_eq!(region.all_keys().await.0, ["old/a", "old/b", "old/b"]);
    assert_eq!(region.after(2 * DAY).await, Applied { noncurrent_count: 1, ..Applied::default() });
    assert_eq!(region.all_keys().await.0, ["old/a", "old/b"]);
}

#[tokio::test]
async fn of_versions_that_are_not_current_so_many_stay() {
    let region = start().await;
    region.set_versioning("Enabled").await.ok();
    for body in ["1", "2", "3", "4"] {
        region.put("old/a", body).await;
    }
    region.send("DELETE", "/photos/old/b", &[], "").await.ok();
    for body in ["1", "2"] {
        region.put("old/b", body).await;
    }
    region
        .put_rules(&rule(
            "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>\
             <NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
        ))
        .await
        .ok();
    assert_eq!(region.after(Duration::from_secs(60)).await, Applied::default(), "not for a day");
    // Of `a` the two oldest; of `b` the marker that it began with.
    assert_eq!(region.after(2 * DAY).await, Applied { noncurrent_count: 3, ..Applied::default() });
    let (versions, markers) = region.all_keys().await;
    assert_eq!(versions, ["old/a", "old/a", "old/b", "old/b"]);
    assert!(markers.is_empty());
    assert_eq!(&region.get("old/a").await.body[..], b"4");
    // Under a delete marker the same number stays of what is no longer current.
    region.send("DELETE", "/photos/old/a", &[], "").await.ok();
    assert_eq!(region.after(2 * DAY).await, Applied { noncurrent_count: 1, ..Applied::default() });
    assert_eq!(region.all_keys().await.0, ["old/a", "old/b", "old/b"]);
}

#[tokio::test]
async fn a_marker_goes_at_once_where_that_is_asked_and_only_when_it_is_alone() {
    let region = start().await;
    region.set_versioning("Enabled").await.ok();
    region.put("old/over", "v").await;
    for key in ["old/over", "old/alone", "new/alone"] {
        region.send("DELETE", &format!("/photos/{key}"), &[], "").await.ok();
    }
    region.put_rules(&expiration("<ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker>")).await.ok();
    assert_eq!(region.after(9 * DAY).await, Applied::default());
    region.put_rules(&expiration("<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>")).await.ok();
    assert_eq!(region.after(Duration::ZERO).await, Applied { markers_count: 1, ..Applied::default() });
    assert_eq!(region.all_keys().await.1, ["new/alone", "old/over"]);
}

/// The longest that S3 takes ends past the year 9999, of which no header speaks.
#[tokio::test]
async fn an_abort_in_millions_of_years_is_not_told() {
    let region = start().await;
    let rules = rule(
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2147483647</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
    );
    region.put_rules(&rules).await.ok();
    let started = region.send("POST", "/photos/old/a?uploads", &[], "").await.ok();
    let upload_id = started.element("UploadId");
    let parts = region.send("GET", &format!("/photos/old/a?uploadId={upload_id}"), &[], "").await.ok();
    assert_eq!((started.header("x-amz-abort-date"), parts.header("x-amz-abort-date")), ("", ""));
}

#[tokio::test]
async fn an_unfinished_upload_says_when_it_is_aborted_and_is_then() {
    let region = start().await;
    let rules = rule(
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
    );
    region.put_rules(&rules).await.ok();
    let started = region.send("POST", "/photos/old/a?uploads", &[], "").await.ok();
    let (date, id) = (started.header("x-amz-abort-date").to_owned(), started.header("x-amz-abort-rule-id"));
    assert!(date.ends_with(" 00:00:00 GMT"), "{date}");
    assert_eq!(id, "one");
    let upload_id = started.element("UploadId");
    region.put_part("old/a", &upload_id, 1, bytes(100_000)).await.ok();
    let parts = region.send("GET", &format!("/photos/old/a?uploadId={upload_id}"), &[], "").await.ok();
    assert_eq!((parts.header("x-amz-abort-date"), parts.header("x-amz-abort-rule-id")), (&*date, "one"));
    let other = region.send("POST", "/photos/new/a?uploads", &[], "").await.ok();
    assert_eq!(other.header("x-amz-abort-date"), "");

    assert_eq!(region.after(3 * DAY - Duration::from_secs(60)).await, Applied::default());
    assert_eq!(region.after(2 * DAY).await, Applied { uploads_count: 1, ..Applied::default() });
    assert_eq!(region.list("uploads", "Key").await, ["new/a"]);
    let gone = region.put_part("old/a", &upload_id, 2, "v").await;
    assert_eq!(gone.error(), (404, "NoSuchUpload".to_owned()));
}

#[tokio::test]
async fn a_shorter_day_is_over_when_it_is_over() {
    let region = Region::start_empty_with(|settings| {
        settings.lifecycle_day = Day::lasting(Duration::from_secs(3600));
    })
    .await;
    region.first_pass().await;
    region.send("PUT", "/photos", &[], "").await.ok();
    region.put_rules(&expiration("<Days>2</Days>")).await.ok();
    region.put("old/a", "v").await;
    assert_eq!(region.after(Duration::from_secs(7000)).await, Applied::default());
    assert_eq!(region.after(Duration::from_secs(300)).await.expired_count, 1);
}

#[tokio::test]
async fn a_pass_goes_through_pages_of_keys_and_versions() {
    let region = start().await;
    region.put_rules(&expiration("<Days>1</Days>")).await.ok();
    for number in 0..600 {
        region.put(&format!("old/{number}"), "v").await;
    }
    region.put("olds", "v").await;
    region.put("old", "v").await;
    assert_eq!(region.after(2 * DAY).await.expired_count, 600);
    assert_eq!(region.all_keys().await.0, ["old", "olds"]);
    region.set_versioning("Enabled").await.ok();
    for number in 0..600 {
        region.put("old/many", number.to_string()).await;
    }
    region
        .put_rules(&rule(
            "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>",
        ))
        .await
        .ok();
    assert_eq!(region.after(2 * DAY).await.noncurrent_count, 599);
    assert_eq!(&region.get("old/many").await.body[..], b"599");
}
