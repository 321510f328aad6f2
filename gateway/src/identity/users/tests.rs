//! Users and their keys, in the store of a home region.

use origin::Directory;
use origin::instance::Instance;
use origin::regional::{Seams, Settings};

use super::*;
use crate::client::Client;
use crate::coherence::{Own, Room};
use crate::identity::{Access, AtHome, Identities};
use crate::sigv4::SecretKey;

struct Home {
    _dir: tempfile::TempDir,
    store: RegionalStore,
    keys: Arc<ClusterKeys>,
    accounts: Arc<Accounts>,
    users: Users,
}

impl Home {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let settings = Settings::new(dir.path().join("store"), "ord1");
        let registry = prometheus::Registry::new();
        let store = RegionalStore::open(settings, Seams::default(), &registry).await.expect("open");
        let keys = Arc::new(ClusterKeys::parse(&ClusterKeys::generate()).expect("keys"));
        let accounts = Arc::new(Accounts::default());
        let users = Users::open(store.clone(), keys.clone(), accounts.clone()).await.expect("users");
        Self { _dir: dir, store, keys, accounts, users }
    }

    /// Whether a request signed with this pair is taken now.
    async fn takes(&self, pair: &KeyPair) -> bool {
        let identities = AtHome::new(self.store.clone(), Own::new(&Room::new(0)), self.keys.clone());
        let found = identities.find(pair.access_key(), Client::default()).await.expect("asked");
        found.is_some_and(|credential| credential.secret == *pair.secret())
    }

    async fn make(&self, name: &str, account: &str) -> KeyPair {
        self.users.create(NewUser::full(name, account)).await.expect("made").1
    }
}

fn named(name: &str) -> UserName {
    UserName { name: name.into(), account: None }
}

fn grant(bucket: &str, access: Access) -> BucketGrant {
    let incarnation = Instance::from_bytes([7; 16]);
    BucketGrant { region: "las1".into(), bucket: bucket.into(), incarnation, access }
}

#[tokio::test]
async fn a_user_is_made_once_and_with_a_key_that_nobody_has() {
    let home = Home::start().await;
    let alice = home.make("alice", "research").await;
    assert!(home.takes(&alice).await);
    let again = home.users.create(NewUser::full("alice", "research")).await;
    assert!(matches!(again, Err(UsersError::Exists { .. })));
    let taken = NewUser { key_pair: Some(alice.clone()), ..NewUser::full("bob", "video") };
    assert!(matches!(home.users.create(taken).await, Err(UsersError::AccessKeyTaken(_))));
    assert!(home.users.create(NewUser::full("alice", "video")).await.is_ok(), "another account's alice");
    assert!(matches!(home.users.find(&named("alice")).await, Err(UsersError::Ambiguous { .. })));
    let of_video = UserName { name: "alice".into(), account: Some("video".into()) };
    assert_eq!(home.users.find(&of_video).await.expect("found").user.account.name, "video");
    assert!(matches!(home.users.find(&named("bob")).await, Err(UsersError::Unknown(_))));
}

#[tokio::test]
async fn what_no_listing_could_show_is_refused() {
    let home = Home::start().await;
    let full = || NewUser::full("alice", "research");
    for (new, good) in [
        (NewUser { display_name: Some("Alice Ä".into()), ..full() }, true),
        (NewUser { name: "b".into(), email: "a@b".into(), ..full() }, true),
        (NewUser::full("a b", "research"), false),
        (NewUser::full("c", "re/search"), false),
        (NewUser { name: "c".into(), display_name: Some(String::new()), ..full() }, false),
        (NewUser { name: "c".into(), display_name: Some("a\nb".into()), ..full() }, false),
        (NewUser { name: "c".into(), display_name: Some("x".repeat(129)), ..full() }, false),
        (NewUser { name: "c".into(), email: "a".into(), ..full() }, false),
        (NewUser { name: "c".into(), email: "@b".into(), ..full() }, false),
        (NewUser { name: "c".into(), email: "a@b@c".into(), ..full() }, false),
        (NewUser { name: "c".into(), grants: vec![grant("photos", Access::Read); 101], ..full() }, false),
        (NewUser { name: "c".into(), grants: vec![grant("photos", Access::Read); 100], ..full() }, true),
    ] {
        let told = format!("{new:?}");
        assert_eq!(home.users.create(new).await.is_ok(), good, "{told}");
    }
}

#[tokio::test]
async fn an_accounts_display_name_is_that_of_its_first_user() {
    let home = Home::start().await;
    let first = NewUser { display_name: Some("Research".into()), ..NewUser::full("alice", "research") };
    let (alice, _) = home.users.create(first).await.expect("made");
    let second = NewUser {
        display_name: Some("Bob".into()),
        email: "bob@example.com".into(),
        ..NewUser::full("bob", "research")
    };
    let (bob, _) = home.users.create(second).await.expect("made");
    assert_eq!(bob.user.account, alice.user.account);
    assert_eq!((bob.user.account.display_name.as_str(), bob.user.display_name.as_str()), ("Research", "Bob"));
    home.users.delete(&named("alice")).await.expect("deleted");
    let owner = home.accounts.by_email("bob@example.com").await.expect("asked");
    assert_eq!(owner[0].display_name, "Research", "the account keeps it");
    home.users.delete(&named("bob")).await.expect("deleted");
    assert_eq!(home.accounts.by_id(&alice.user.account.canonical_id).await.expect("asked"), None);
}

#[tokio::test]
async fn a_rotation_refuses_the_old_pair_at_once_or_when_it_is_finished() {
    let home = Home::start().await;
    let first = home.make("alice", "research").await;
    let (_, second) = home.users.rotate(&named("alice"), OldKeys::Drop, None).await.expect("rotated");
    assert!(!home.takes(&first).await && home.takes(&second).await);

    let (listed, third) = home.users.rotate(&named("alice"), OldKeys::Keep, None).await.expect("begun");
    assert_eq!(listed.access_keys, [third.access_key(), second.access_key()]);
    assert!(home.takes(&second).await && home.takes(&third).await);
    let more = home.users.rotate(&named("alice"), OldKeys::Keep, None).await;
    assert!(matches!(more, Err(UsersError::RotationUnderWay(_))));
    let pairs = home.users.key_pairs(&named("alice")).await.expect("revealed");
    assert_eq!(pairs, [third.clone(), second.clone()]);

    home.users.finish_rotation(&named("alice")).await.expect("finished");
    assert!(!home.takes(&second).await && home.takes(&third).await);
    let again = home.users.finish_rotation(&named("alice")).await;
    assert!(matches!(again, Err(UsersError::NoRotation(_))));

    home.users.rotate(&named("alice"), OldKeys::Keep, None).await.expect("begun");
    let (listed, last) = home.users.rotate(&named("alice"), OldKeys::Drop, None).await.expect("rotated");
    assert_eq!(listed.access_keys, [last.access_key()], "no other pair is left");
    assert_eq!(home.store.users().await.expect("rows").len(), 1);
}

#[tokio::test]
async fn a_pair_of_ones_own_may_not_be_anybodys() {
    let home = Home::start().await;
    let alice = home.make("alice", "research").await;
    for name in ["alice", "bob"] {
        if name == "bob" {
            home.make("bob", "research").await;
        }
        let taken = home.users.rotate(&named(name), OldKeys::Drop, Some(alice.clone())).await;
        assert!(matches!(taken, Err(UsersError::AccessKeyTaken(_))), "{name}");
    }
    let own = KeyPair::own("AKIDEXAMPLEAKIDEXAMP", SecretKey::new("x".repeat(40))).expect("good");
    let (_, rotated) =
        home.users.rotate(&named("alice"), OldKeys::Drop, Some(own.clone())).await.expect("own");
    assert_eq!(rotated, own);
    assert!(home.takes(&own).await && !home.takes(&alice).await);
}

#[tokio::test]
async fn a_change_holds_for_both_pairs_of_a_rotation() {
    let home = Home::start().await;
    let old = home.make("alice", "research").await;
    let (_, new) = home.users.rotate(&named("alice"), OldKeys::Keep, None).await.expect("begun");
    let before = home.users.find(&named("alice")).await.expect("found").user;
    home.users.set_disabled(&named("alice"), true).await.expect("disabled");
    assert!(!home.takes(&old).await && !home.takes(&new).await);
    home.users.set_disabled(&named("alice"), false).await.expect("enabled");
    assert!(home.takes(&old).await && home.takes(&new).await);
    let after = home.users.find(&named("alice")).await.expect("found").user;
    assert_ne!(after, before, "a key that was refused in between is not one that was good all along");
    assert_eq!(User { revision: before.revision, ..after }, before);

    let granted = vec![grant("photos", Access::Read), grant("videos", Access::Write)];
    home.users.set_access(&named("alice"), Some(Level::Read), granted, &[]).await.expect("changed");
    let identities = AtHome::new(home.store.clone(), Own::new(&Room::new(0)), home.keys.clone());
    for pair in [&old, &new] {
        let user =
            identities.find(pair.access_key(), Client::default()).await.expect("asked").expect("known").user;
        assert_eq!(
            (user.level, user.grants.len(), user.access_key.as_str()),
            (Level::Read, 2, pair.access_key())
        );
    }

    // A bucket of the same name elsewhere is another bucket; granted again, the last word counts.
    let revoked = [("ord1".to_owned(), "photos".to_owned()), ("las1".to_owned(), "videos".to_owned())];
    let again = vec![grant("photos", Access::ReadWrite)];
    let listed =
        home.users.set_access(&named("alice"), None, again.clone(), &revoked).await.expect("changed");
    assert_eq!((listed.user.level, listed.user.grants), (Level::Read, again));

    home.users.delete(&named("alice")).await.expect("deleted");
    assert!(!home.takes(&old).await && !home.takes(&new).await);
    assert!(home.store.users().await.expect("rows").is_empty());
}

#[tokio::test]
async fn resealed_secrets_need_the_new_key_alone() {
    let home = Home::start().await;
    let (alice, bob) = (home.make("alice", "research").await, home.make("bob", "research").await);
    let old = ClusterKeys::generate();
    let new = ClusterKeys::generate();
    let with = |text: String| Arc::new(ClusterKeys::parse(&text).expect("keys"));

    // Sealed with a key that is not in the file: nothing is changed.
    let stranger = Users::open(home.store.clone(), with(new.clone()), Arc::default()).await.expect("users");
    let before = home.store.users().await.expect("rows");
    assert!(stranger.reseal().await.is_err());
    assert_eq!(home.store.users().await.expect("rows"), before);

    let moved = Home { keys: with(old.clone()), ..Home::start().await };
    let users = Users::open(moved.store.clone(), moved.keys.clone(), Arc::default()).await.expect("users");
    let copy =
        |pair: &KeyPair, name| NewUser { key_pair: Some(pair.clone()), ..NewUser::full(name, "research") };
    users.create(copy(&alice, "alice")).await.expect("made");
    users.create(copy(&bob, "bob")).await.expect("made");
    let both =
        Users::open(moved.store.clone(), with(format!("{new}{old}")), Arc::default()).await.expect("users");
    assert_eq!(both.reseal().await.expect("resealed"), 2);
    assert_eq!(both.reseal().await.expect("resealed"), 0);
    let moved = Home { keys: with(new), ..moved };
    assert!(moved.takes(&alice).await && moved.takes(&bob).await);
}

#[test]
fn names_are_what_iam_allows() {
    for good in ["a", "Alice.B+c=d,e@f_g-h", &"x".repeat(64)] {
        assert!(is_name(good), "{good}");
    }
    for bad in ["", "a b", "a/b", "a\0", "é", &"x".repeat(65)] {
        assert!(!is_name(bad), "{bad:?}");
    }
}

#[test]
fn canonical_ids_are_stable_and_differ_by_account() {
    let research = canonical_id("research");
    assert_eq!(research, canonical_id("research"));
    assert_ne!(research, canonical_id("Research"));
    assert!(research.len() == 64 && research.bytes().all(|b| b.is_ascii_hexdigit()));
}
