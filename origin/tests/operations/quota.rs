//! What an account may keep: counted exactly by whatever changes it, and decided in the commit.

use std::time::Duration;

use origin::regional::RegionalStore;
use proptest::prelude::{ProptestConfig, Strategy, prop, prop_oneof, proptest};

use crate::region::{Answer, Region, bytes, user_of};

const QUOTA: u64 = 1000;
const KEYS: [&str; 2] = ["a", "b"];

fn exceeded() -> (u16, String) {
    (403, "QuotaExceeded".to_owned())
}

async fn start() -> Region {
    let region = Region::start_empty_with(|settings| settings.account_quota_bytes = Some(QUOTA)).await;
    region.send("PUT", "/photos", &[], "").await.ok();
    region
}

impl Region {
    async fn used(&self) -> u64 {
        self.store.used_bytes("anne").await.expect("counted")
    }
}

#[tokio::test]
async fn the_write_that_would_pass_the_quota_is_refused_and_no_other() {
    let region = start().await;
    region.put("a", bytes(600)).await;
    assert_eq!(region.put_with("b", bytes(401), &[]).await.error(), exceeded());
    region.put("b", bytes(400)).await;
    assert_eq!(region.used().await, 1000);
    assert_eq!(region.put_with("c", "x", &[]).await.error(), exceeded());
    region.put("empty", "").await;
    region.put("a", bytes(600)).await;
    assert_eq!(region.put_with("a", bytes(601), &[]).await.error(), exceeded());
    region.put("a", bytes(1)).await;
    assert_eq!(region.used().await, 401);
    let copied = region.put_with("copy", "", &[("x-amz-copy-source", "photos/b")]).await;
    assert_eq!(copied.status, 200);
    let again = region.put_with("again", "", &[("x-amz-copy-source", "photos/b")]).await;
    assert_eq!(again.error(), exceeded(), "a copy counts whole");
    region.send("DELETE", "/photos/b", &[], "").await.ok();
    region.send("DELETE", "/photos/b", &[], "").await.ok();
    assert_eq!(region.used().await, 401);
}

/// Of a copy that reads its source first: whoever is gone meanwhile is told so where the quota has not refused before.
#[tokio::test]
async fn a_copy_that_the_quota_refuses_reads_nothing() {
    let region = start().await;
    region.put("a", bytes(500)).await;
    let source = ("x-amz-copy-source", "photos/a");
    let digested = [source, ("x-amz-checksum-algorithm", "SHA256")];
    let gone = (403, "InvalidAccessKeyId".to_owned());
    assert_eq!(region.send_and_go("PUT", "/photos/b", &digested, "").await.error(), gone);
    let upload_id = region.start_upload("up", &[]).await;
    let part = |number: u32| format!("/photos/up?partNumber={number}&uploadId={upload_id}");
    assert_eq!(region.send_and_go("PUT", &part(1), &[source], "").await.error(), gone);

    region.send("PUT", &part(1), &[source], "").await.ok();
    assert_eq!(region.used().await, QUOTA);
    assert_eq!(region.send_and_go("PUT", "/photos/b", &digested, "").await.error(), exceeded());
    assert_eq!(region.send_and_go("PUT", &part(2), &[source], "").await.error(), exceeded());
    // In place of as much as it takes there is room.
    assert_eq!(region.send_and_go("PUT", &part(1), &[source], "").await.error(), gone);
    let onto_itself = [digested[0], digested[1], ("x-amz-metadata-directive", "REPLACE")];
    assert_eq!(region.send_and_go("PUT", "/photos/a", &onto_itself, "").await.error(), gone);
    // Where versions are kept nothing makes way.
    region.set_versioning("Enabled").await.ok();
    assert_eq!(region.send_and_go("PUT", "/photos/a", &onto_itself, "").await.error(), exceeded());
}

#[tokio::test]
async fn whoever_writes_the_bucket_owner_pays() {
    let region = start().await;
    region.send_as(Some(user_of("bob")), "PUT", "/bobs", &[], "").await.ok();
    region.send_let(user_of("bob"), "PUT", "/photos/a", &[], bytes(900)).await.ok();
    assert_eq!(region.used().await, 900);
    assert_eq!(region.store.used_bytes("bob").await.expect("counted"), 0);
    region.send_as(Some(user_of("bob")), "PUT", "/bobs/a", &[], bytes(1000)).await.ok();
    assert_eq!(
        region.send_let(user_of("bob"), "PUT", "/photos/b", &[], bytes(101)).await.error(),
        exceeded()
    );
}

#[tokio::test]
async fn versions_and_unfinished_uploads_count_until_they_are_gone() {
    let mut region = start().await;
    region.set_versioning("Enabled").await.ok();
    region.put("a", bytes(300)).await;
    region.put("a", bytes(300)).await;
    region.send("DELETE", "/photos/a", &[], "").await.ok();
    assert_eq!(region.used().await, 600, "a delete marker takes nothing away");
    let upload_id = region.start_upload("up", &[]).await;
    region.put_part("up", &upload_id, 1, bytes(300)).await.ok();
    region.put_part("up", &upload_id, 1, bytes(400)).await.ok();
    assert_eq!(region.put_part("up", &upload_id, 2, "x").await.error(), exceeded());
    region.reopen().await;
    assert_eq!(region.used().await, 1000);
    let part = region.put_part("up", &upload_id, 1, bytes(400)).await.ok();
    region.complete("up", &upload_id, &[(1, part.header("etag"))]).await.ok();
    assert_eq!(region.used().await, 1000, "joining moves nothing");
    let abandoned = region.start_upload("up", &[]).await;
    assert_eq!(region.put_part("up", &abandoned, 1, "x").await.error(), exceeded());
    region
        .send(
            "PUT",
            "/photos?lifecycle",
            &[],
            "<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter/><NoncurrentVersionExpiration>\
             <NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>",
        )
        .await
        .ok();
    region.clock.advance(Duration::from_secs(48 * 3600));
    region.store.apply_lifecycle().await.expect("a pass");
    assert_eq!(region.used().await, 400);
    let dir = region.close().await;
    let report = RegionalStore::check_deep(dir.path()).await.expect("checked");
    assert_eq!(report.faults, Vec::<String>::new());
}

/// Counted for each account, and exactly: of two that want the last place one gets it.
#[tokio::test]
async fn the_bucket_that_would_be_one_too_many_is_refused_and_no_other() {
    let mut region = Region::start_empty_with(|settings| settings.account_buckets_max = Some(3)).await;
    let too_many = (400, "TooManyBuckets".to_owned());
    for name in ["/first", "/second"] {
        region.send("PUT", name, &[], "").await.ok();
    }
    region.announcements.take();
    let (one, other) =
        tokio::join!(region.send("PUT", "/third", &[], ""), region.send("PUT", "/fourth", &[], ""));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400], "{one:?} {other:?}");
    region.reopen().await;
    region.announcements.take();
    assert_eq!(region.send("PUT", "/fifth", &[], "").await.error(), too_many);
    assert_eq!(region.announcements.take(), [], "of a bucket that is not made nobody is told");
    // What is there may be changed and made again, and others have places of their own.
    region.send("PUT", "/first", &[], "").await.ok();
    region.send("PUT", "/first?versioning", &[], ENABLED).await.ok();
    region.send_as(Some(user_of("bob")), "PUT", "/bobs", &[], "").await.ok();

    region.send("DELETE", "/first", &[], "").await.ok();
    region.send("PUT", "/fifth", &[], "").await.ok();
    assert_eq!(region.send("PUT", "/first", &[], "").await.error(), too_many);
    let dir = region.close().await;
    let report = RegionalStore::check_deep(dir.path()).await.expect("checked");
    assert_eq!(report.faults, Vec::<String>::new());
}

const ENABLED: &str = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";

#[derive(Clone, Debug)]
enum Step {
    Put { key: usize, bytes: usize },
    Copy { from: usize, to: usize },
    Delete { key: usize },
    DeleteOldest,
    Versioning { is_enabled: bool },
    Part { number: u32, bytes: usize },
    Complete,
    Abort,
    Expire,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    prop_oneof![
        4 => (key.clone(), 0..500_usize).prop_map(|(key, bytes)| Step::Put { key, bytes }),
        2 => (key.clone(), key.clone()).prop_map(|(from, to)| Step::Copy { from, to }),
        2 => key.prop_map(|key| Step::Delete { key }),
        2 => prop::strategy::Just(Step::DeleteOldest),
        1 => prop::bool::ANY.prop_map(|is_enabled| Step::Versioning { is_enabled }),
        3 => (1..3_u32, 0..400_usize).prop_map(|(number, bytes)| Step::Part { number, bytes }),
        1 => prop::strategy::Just(Step::Complete),
        1 => prop::strategy::Just(Step::Abort),
        1 => prop::strategy::Just(Step::Expire),
        1 => prop::strategy::Just(Step::Reopen),
    ]
}

impl Region {
    /// What is there, from listings alone.
    async fn recounted(&self) -> u64 {
        let sizes = |answer: Answer| {
            answer.elements("Size").iter().map(|size| size.parse::<u64>().expect("a size")).sum::<u64>()
        };
        let mut total = sizes(self.send("GET", "/photos?versions", &[], "").await.ok());
        for upload_id in self.list("uploads", "UploadId").await {
            total += sizes(self.send("GET", &format!("/photos/up?uploadId={upload_id}"), &[], "").await.ok());
        }
        total
    }

    async fn take(&mut self, step: &Step) -> Option<Answer> {
        let uploads = self.list("uploads", "UploadId").await;
        let upload_id = match (step, uploads.first()) {
            (Step::Part { .. }, None) => self.start_upload("up", &[]).await,
            (_, first) => first.cloned().unwrap_or_default(),
        };
        let upload = format!("/photos/up?uploadId={upload_id}");
        match step {
            Step::Put { key, bytes: count } => Some(self.put_with(KEYS[*key], bytes(*count), &[]).await),
            Step::Copy { from, to } => {
                let source = format!("photos/{}", KEYS[*from]);
                Some(self.put_with(KEYS[*to], "", &[("x-amz-copy-source", &source)]).await)
            }
            Step::Delete { key } => {
                Some(self.send("DELETE", &format!("/photos/{}", KEYS[*key]), &[], "").await)
            }
            Step::DeleteOldest => {
                let listing = self.send("GET", "/photos?versions", &[], "").await.ok();
                let (key, id) = (listing.elements("Key").pop()?, listing.elements("VersionId").pop()?);
                Some(self.send("DELETE", &format!("/photos/{key}?versionId={id}"), &[], "").await)
            }
            Step::Versioning { is_enabled } => {
                Some(self.set_versioning(if *is_enabled { "Enabled" } else { "Suspended" }).await)
            }
            Step::Part { number, bytes: count } => {
                Some(self.put_part("up", &upload_id, *number, bytes(*count)).await)
            }
            Step::Complete => {
                let tag = self.send("GET", &upload, &[], "").await.elements("ETag").first()?.clone();
                Some(self.complete("up", &upload_id, &[(1, &tag)]).await)
            }
            Step::Abort => Some(self.send("DELETE", &upload, &[], "").await),
            Step::Expire => {
                let rules = "<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><Prefix>a</Prefix></Filter>\
                    <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>";
                self.send("PUT", "/photos?lifecycle", &[], rules).await.ok();
                self.clock.advance(Duration::from_secs(48 * 3600));
                self.store.apply_lifecycle().await.expect("a pass");
                Some(self.send("DELETE", "/photos?lifecycle", &[], "").await)
            }
            Step::Reopen => {
                self.reopen().await;
                None
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_count_is_what_is_there_and_never_passes_the_quota(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut region = start().await;
            for step in &steps {
                let before = region.recounted().await;
                let refused = region.take(step).await.is_some_and(|answer| answer.error() == exceeded());
                let after = region.recounted().await;
                assert_eq!(region.used().await, after, "{step:?}");
                assert!(after <= QUOTA, "{step:?}");
                if refused {
                    assert_eq!(after, before, "{step:?}");
                    let added = match step {
                        Step::Put { bytes, .. } | Step::Part { bytes, .. } => *bytes as u64,
                        Step::Copy { .. } => QUOTA,
                        other => panic!("{other:?} adds nothing"),
                    };
                    assert!(before + added > QUOTA, "{step:?} had room");
                }
            }
            let dir = region.close().await;
            let report = RegionalStore::check_deep(dir.path()).await.expect("checked");
            assert_eq!(report.faults, Vec::<String>::new());
        });
    }
}
