//! Users, as identity keeps them.

use super::*;

#[tokio::test]
async fn users_are_kept_replaced_and_removed() {
    let region = Region::start().await;
    let user = |key: &str, value: &[u8]| UserRow { access_key: key.into(), value: value.into() };
    let change = async |region: &Region, put: Vec<UserRow>, removed: &[&str]| {
        let removed = removed.iter().map(ToString::to_string).collect();
        region.store.change_users(put, removed).await.unwrap();
    };
    change(&region, vec![user("AK", b"1"), user("BK", b"1")], &[]).await;
    change(&region, vec![user("AK", b"2")], &["NOBODY"]).await;
    let region = region.restart().await;
    assert_eq!(region.store.user("AK").await.unwrap(), Some(user("AK", b"2")));
    assert_eq!(region.store.users().await.unwrap(), [user("AK", b"2"), user("BK", b"1")]);
    change(&region, vec![user("CK", b"3")], &["AK", "BK"]).await;
    assert_eq!(region.store.user("AK").await.unwrap(), None);
    assert_eq!(region.store.users().await.unwrap(), [user("CK", b"3")]);
}
