//! Large documents of buckets, which take others' time in the one writer.

use s3s::S3;
use s3s::dto::{Delete, DeleteObjectsInput, DeleteObjectsOutput, ObjectIdentifier};

use super::*;
use crate::policy::StoredPolicy;

fn policy(action: &str) -> StoredPolicy {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":"{action}",
        "Resource":"arn:aws:s3:::photos/*"}}]}}"#
    );
    StoredPolicy::new(&text, BUCKET).unwrap()
}

impl RegionalStore {
    async fn test_put_policy(&self, policy: StoredPolicy) {
        let put = self.commit(Change::Bucket(BUCKET.into()), |txn| {
            let mut bucket = txn.bucket(BUCKET)?.unwrap();
            bucket.facts.policy = Some(policy);
            Ok(txn.put_bucket(BUCKET, &bucket)?)
        });
        put.await.unwrap();
    }

    /// The policy that a change reads.
    async fn test_policy(&self) -> StoredPolicy {
        let read = self.commit(Change::Nothing, |txn| Ok(txn.bucket(BUCKET)?.unwrap().facts.policy.unwrap()));
        read.await.unwrap()
    }
}

#[tokio::test]
async fn a_policy_is_parsed_once_for_all_changes_that_ask_it() {
    let region = Region::start().await;
    let store = &region.store;
    store.test_put_policy(policy("s3:GetObject")).await;
    let (first, second) = (store.test_policy().await, store.test_policy().await);
    assert!(std::ptr::eq(first.policy().unwrap(), second.policy().unwrap()));
    store.test_put_policy(policy("s3:PutObject")).await;
    assert_eq!(store.test_policy().await, policy("s3:PutObject"));
    store.test_put_policy(first.clone()).await;
    assert_eq!(store.test_policy().await, first);
}

/// Puts 250 objects and returns their keys.
async fn put_many(store: &RegionalStore) -> Vec<String> {
    let keys: Vec<_> = (0..250).map(|n| format!("k{n}")).collect();
    futures::future::try_join_all(keys.iter().map(|key| store.test_put(key, b"v"))).await.unwrap();
    keys
}

async fn delete_many(store: &RegionalStore, keys: &[String]) -> S3Result<DeleteObjectsOutput> {
    let identify = |key: &String| ObjectIdentifier { key: key.clone(), ..Default::default() };
    let objects = keys.iter().map(identify).collect();
    let mut delete = DeleteObjectsInput::builder();
    delete.set_bucket(BUCKET.into()).set_delete(Delete { objects, quiet: None });
    Ok(store.delete_objects(asked(delete.build().unwrap())).await?.output)
}

/// Each key is decided about by the policy: others write between some and some more.
#[tokio::test]
async fn many_keys_are_deleted_some_in_each_change() {
    let (region, watching) = watched().await;
    let store = &region.store;
    let keys = put_many(store).await;
    watching.seen.lock().unwrap().clear();
    let deleted = delete_many(store, &keys).await.unwrap().deleted.unwrap();
    let names: Vec<_> = deleted.into_iter().filter_map(|deleted| deleted.key).collect();
    assert_eq!(names, keys);
    for key in keys {
        assert_eq!(store.test_object(&key).await.unwrap(), None, "{key}");
    }
    let announced = watching.seen.lock().unwrap();
    let counts: Vec<_> = announced
        .iter()
        .map(|(change, _)| match change {
            Change::Keys { keys, .. } => keys.len(),
            _ => 0,
        })
        .collect();
    assert_eq!(counts, [100, 100, 50]);
}

/// Whoever asked would not know otherwise that some are gone.
#[tokio::test]
async fn of_many_keys_it_is_told_which_are_deleted_when_a_later_change_fails() {
    let (region, between) = between().await;
    let store = &region.store;
    let keys = put_many(store).await;
    between.fails_in.store(1, Ordering::SeqCst);
    let refused = delete_many(store, &keys).await.unwrap_err();
    assert_eq!(*refused.code(), S3ErrorCode::ServiceUnavailable, "nothing is deleted");

    between.fails_in.store(2, Ordering::SeqCst);
    let told = delete_many(store, &keys).await.unwrap();
    let deleted: Vec<_> = told.deleted.unwrap().into_iter().filter_map(|deleted| deleted.key).collect();
    assert_eq!(deleted, keys[..100]);
    let errors = told.errors.unwrap();
    assert!(errors.iter().all(|error| error.code.as_deref() == Some("ServiceUnavailable")), "{errors:?}");
    let failed: Vec<_> = errors.into_iter().filter_map(|error| error.key).collect();
    assert_eq!(failed, keys[100..]);
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(store.test_object(key).await.unwrap().is_some(), n >= 100, "{key}");
    }
}
