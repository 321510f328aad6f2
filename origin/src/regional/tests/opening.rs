//! What a store keeps of itself from one opening to the next, and whose its directory is.

use super::*;

#[tokio::test]
async fn the_longest_lease_survives_a_restart() {
    let region = Region::start().await;
    let longest = async |region: &Region| {
        let [objects, users] = LeaseClass::ALL.map(|class| region.store.longest_lease(class));
        (objects.await.unwrap(), users.await.unwrap())
    };
    assert_eq!(longest(&region).await, (Duration::ZERO, Duration::ZERO));
    let lease = Duration::from_micros(2_999_001);
    region.store.note_longest_lease(LeaseClass::Objects, lease).await.unwrap();
    let region = region.restart().await;
    assert_eq!(longest(&region).await, (Duration::from_secs(3), Duration::ZERO));
    region.store.note_longest_lease(LeaseClass::Objects, Duration::ZERO).await.unwrap();
    let region = region.restart().await;
    assert_eq!(longest(&region).await, (Duration::ZERO, Duration::ZERO));
}

#[tokio::test]
async fn a_directory_has_one_owner_and_one_region() {
    let region = Region::start().await;
    let again = RegionalStore::open(settings(region.dir.path()), Seams::default(), &Registry::new()).await;
    assert!(matches!(again.err(), Some(OpenError::InUse(_))));
    assert!(matches!(RegionalStore::check_deep(region.dir.path()).await, Err(OpenError::InUse(_))));
    region.store.close().await;
    let other = Settings { region: "las1".into(), ..settings(region.dir.path()) };
    let other = RegionalStore::open(other, Seams::default(), &Registry::new()).await;
    assert!(matches!(other.err(), Some(OpenError::OtherRegion { found, .. }) if found == "ord1"));
    let region = region.restart().await;
    assert_eq!(region.store.shared.disk.epoch, 2);
}

#[tokio::test]
async fn a_closed_store_refuses_and_does_not_hang() {
    let region = Region::start().await;
    region.store.close().await;
    region.store.close().await;
    let refused = region.store.test_put("k", b"v").await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::ServiceUnavailable);
    assert!(region.store.resolve(BUCKET, "k", None).await.is_err());
}
