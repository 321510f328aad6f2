//! What users may do with users, grants and keys of their own.

use origin::regional::{RegionalStore, Seams, Settings};
use serde_json::json;

use super::*;
use crate::accelerated::Owner;
use crate::coherence::{Own, Room};
use crate::identity::{Access, ClusterKeys};
use crate::metrics::Metrics;
use crate::test_store::create_bucket;

/// Home with a store that has the bucket `photos` of the account `research` and `others` of another one.
struct Home {
    _dir: tempfile::TempDir,
    store: RegionalStore,
    admin: UserAdmin,
}

const OPERATOR: Manager = Manager::Operator { uid: 0 };

impl Home {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let settings = Settings::new(dir.path().join("store"), "ord1");
        let registry = prometheus::Registry::new();
        let store = RegionalStore::open(settings, Seams::default(), &registry).await.expect("open");
        for (bucket, account) in [("photos", "research"), ("others", "video")] {
            create_bucket(&store, bucket, account).await;
        }
        let keys = Arc::new(ClusterKeys::parse(&ClusterKeys::generate()).expect("keys"));
        let users = Users::open(store.clone(), keys, Arc::default()).await.expect("users");
        let home = RegionName::parse("ord1").expect("name");
        let (kept, metrics) = (Own::new(&Room::new(0)), Metrics::new(&registry));
        let owner = Owner::Own { region: home.clone(), store: store.clone(), kept, metrics };
        let buckets = Buckets::new(HashMap::from([(home.clone(), Arc::new(owner))]));
        Self { _dir: dir, store, admin: UserAdmin::new(users, buckets, home, Vec::new()) }
    }

    async fn obey(&self, command: serde_json::Value, manager: &Manager) -> Result<Done, Refused> {
        self.admin.obey(serde_json::from_value(command).expect("a command"), manager).await
    }

    async fn make(&self, name: &str, account: &str, level: &str) -> Manager {
        let wanted = json!({"create": {"name": name, "account": account, "level": level}});
        self.obey(wanted, &OPERATOR).await.expect("made");
        let name = UserName { name: name.into(), account: Some(account.into()) };
        Manager::Tenant(Arc::new(self.admin.users().find(&name).await.expect("found").user))
    }
}

fn shown(done: Result<Done, Refused>) -> ShownUser {
    done.expect("obeyed").user().expect("about a user").clone()
}

#[tokio::test]
async fn a_grant_is_of_the_bucket_that_is_there() {
    let home = Home::start().await;
    let create = |name: &str, grant: &str| json!({"create": {"name": name, "account": "lab", "level": "read", "grant": [grant]}});
    for (grant, refused) in
        [("nothere=read", "there is no bucket"), ("las1/photos=read", "there is no region las1")]
    {
        let error = home.obey(create("alice", grant), &OPERATOR).await.expect_err(grant).to_string();
        assert!(error.contains(refused), "{error}");
    }
    assert!(
        matches!(home.obey(json!({"list": {}}), &OPERATOR).await, Ok(Done::Users(users)) if users.is_empty())
    );

    let alice = shown(home.obey(create("alice", "photos=read"), &OPERATOR).await);
    assert_eq!(
        alice.grants,
        [ShownGrant { region: "ord1".into(), bucket: "photos".into(), access: Access::Read }]
    );
    let stored =
        home.admin.users().find(&UserName { name: "alice".into(), account: None }).await.expect("found");
    let facts = home.store.facts("photos").await.expect("read").expect("there");
    assert_eq!(stored.user.grants[0].incarnation, facts.incarnation);

    let change = json!({"set_access": {
        "user": {"name": "alice"}, "grant": ["photos=write", "ord1/others=read", "photos=readwrite"], "revoke": ["nothere"],
    }});
    let grants: Vec<_> = shown(home.obey(change, &OPERATOR).await).grants.into_iter().collect();
    assert_eq!(grants.len(), 2);
    assert!(grants.iter().any(|grant| grant.bucket == "photos" && grant.access == Access::ReadWrite));
    let revoke =
        json!({"set_access": {"user": {"name": "alice"}, "level": "full", "revoke": ["ord1/photos"]}});
    let alice = shown(home.obey(revoke, &OPERATOR).await);
    assert_eq!(
        (alice.grants[0].bucket.as_str(), alice.grants.len(), alice.level),
        ("others", 1, Level::Full)
    );
}

#[tokio::test]
async fn a_tenants_full_user_manages_its_own_account() {
    let home = Home::start().await;
    let chief = home.make("chief", "research", "full").await;
    let bob = json!({"create": {"name": "bob", "level": "read", "grant": ["photos=write"]}});
    let Ok(Done::UserWithKeys { user, key_pairs, .. }) = home.obey(bob, &chief).await else { panic!("bob") };
    assert_eq!((user.account.as_str(), key_pairs.len()), ("research", 1));
    for command in [
        json!({"show": {"user": {"name": "bob"}, "reveal": false}}),
        json!({"rotate": {"user": {"name": "bob"}, "old_keys": "keep"}}),
        json!({"finish_rotation": {"user": {"name": "bob"}}}),
        json!({"disable": {"user": {"name": "bob"}}}),
        json!({"enable": {"user": {"name": "bob", "account": "research"}}}),
        json!({"set_access": {"user": {"name": "bob"}, "level": "full"}}),
        json!({"delete": {"user": {"name": "bob"}}}),
    ] {
        assert_eq!(shown(home.obey(command.clone(), &chief).await).name, "bob", "{command}");
    }
}

#[tokio::test]
async fn a_tenant_does_nothing_beyond_its_account() {
    let home = Home::start().await;
    let chief = home.make("chief", "research", "full").await;
    home.make("carol", "video", "full").await;
    let carol = || json!({"name": "carol", "account": "video"});
    let before = home.admin.users().list().await.expect("listed");
    for (command, told) in [
        (json!({"create": {"name": "spy", "account": "video", "level": "full"}}), "own account"),
        (
            json!({"create": {"name": "spy", "level": "full", "grant": ["others=read"]}}),
            "there is no bucket others",
        ),
        (
            json!({"set_access": {"user": {"name": "chief"}, "grant": ["others=read"]}}),
            "there is no bucket others",
        ),
        (
            json!({"create": {"name": "spy", "level": "full", "email": "carol@example.com"}}),
            "operators alone give users their e-mail",
        ),
        (json!({"list": {"account": "video"}}), "own account"),
        (json!({"show": {"user": carol(), "reveal": false}}), "there is no user carol"),
        (json!({"show": {"user": {"name": "carol"}, "reveal": false}}), "there is no user carol"),
        (json!({"show": {"user": {"name": "chief"}, "reveal": true}}), "operators alone"),
        (json!({"rotate": {"user": carol(), "old_keys": "drop"}}), "there is no user carol"),
        (json!({"finish_rotation": {"user": carol()}}), "there is no user carol"),
        (json!({"disable": {"user": carol()}}), "there is no user carol"),
        (json!({"enable": {"user": carol()}}), "there is no user carol"),
        (json!({"set_access": {"user": carol(), "level": "read"}}), "there is no user carol"),
        (json!({"delete": {"user": carol()}}), "there is no user carol"),
        (json!("reseal"), "operators alone"),
    ] {
        let error = home.obey(command.clone(), &chief).await.expect_err("refused").to_string();
        assert!(error.contains(told), "{command}: {error}");
    }
    assert_eq!(home.admin.users().list().await.expect("listed"), before);
    let Ok(Done::Users(seen)) = home.obey(json!({"list": {}}), &chief).await else { panic!("listed") };
    assert!(seen.iter().all(|user| user.account == "research") && seen.len() == 1);
}

#[tokio::test]
async fn only_a_full_user_manages() {
    let home = Home::start().await;
    for level in ["read", "write", "readwrite"] {
        let user = home.make(level, "research", level).await;
        let refused = home.obey(json!({"list": {}}), &user).await;
        assert!(matches!(refused, Err(Refused::NotAllowed(_))), "{level}");
    }
    let nobody = json!({"create": {"name": "bob", "level": "full"}});
    assert!(home.obey(nobody, &OPERATOR).await.is_err(), "an operator has no account of their own");
}

/// The second waits for its turn until the first has taken its giver away.
#[tokio::test]
async fn a_command_that_waits_behind_the_deletion_of_its_giver_is_refused() {
    let home = Home::start().await;
    let chief = home.make("chief", "research", "full").await;
    let delete = json!({"delete": {"user": {"name": "chief"}}});
    let create = json!({"create": {"name": "spy", "level": "full"}});
    // Polled in this order.
    let (deleted, created) = futures::join!(home.obey(delete, &OPERATOR), home.obey(create, &chief));
    deleted.expect("obeyed");
    assert!(matches!(created, Err(Refused::Users(UsersError::GiverChanged))), "{created:?}");
    assert_eq!(home.admin.users().list().await.expect("listed"), []);
}

/// A command may have waited long for its body.
#[tokio::test]
async fn a_tenant_who_has_changed_since_they_signed_manages_nothing() {
    for change in [
        json!({"delete": {"user": {"name": "chief"}}}),
        json!({"disable": {"user": {"name": "chief"}}}),
        json!({"rotate": {"user": {"name": "chief"}, "old_keys": "drop"}}),
        json!({"set_access": {"user": {"name": "chief"}, "level": "readwrite"}}),
    ] {
        let home = Home::start().await;
        let chief = home.make("chief", "research", "full").await;
        home.make("bob", "research", "read").await;
        home.obey(change.clone(), &OPERATOR).await.expect("obeyed");
        let before = home.admin.users().list().await.expect("listed");
        for command in [
            json!({"create": {"name": "spy", "level": "full"}}),
            json!({"list": {}}),
            json!({"show": {"user": {"name": "bob"}, "reveal": false}}),
            json!({"rotate": {"user": {"name": "bob"}, "old_keys": "keep"}}),
            json!({"finish_rotation": {"user": {"name": "bob"}}}),
            json!({"disable": {"user": {"name": "bob"}}}),
            json!({"enable": {"user": {"name": "bob"}}}),
            json!({"set_access": {"user": {"name": "bob"}, "level": "full"}}),
            json!({"delete": {"user": {"name": "bob"}}}),
        ] {
            let refused = home.obey(command.clone(), &chief).await;
            let is_refused = matches!(refused, Err(Refused::Users(UsersError::GiverChanged)));
            assert!(is_refused, "{change}, then {command}: {refused:?}");
        }
        assert_eq!(home.admin.users().list().await.expect("listed"), before, "{change}");
    }
}

/// A rotation that keeps the old pair leaves whoever signs with it who they were.
#[tokio::test]
async fn a_tenant_manages_with_either_pair_of_a_rotation() {
    let home = Home::start().await;
    let chief = home.make("chief", "research", "full").await;
    let rotate = json!({"rotate": {"user": {"name": "chief"}, "old_keys": "keep"}});
    home.obey(rotate, &chief).await.expect("rotated");
    assert!(home.obey(json!({"list": {}}), &chief).await.is_ok());
}

#[tokio::test]
async fn own_keys_are_checked_before_anything_is_made() {
    let home = Home::start().await;
    let create = |access: &str, secret: &str| {
        json!({"create": {"name": "alice", "account": "lab", "level": "full",
            "keys": {"access_key": access, "secret_key": secret}}})
    };
    let (access, secret) = ("AKIDEXAMPLEAKIDEXAMP", "x".repeat(40));
    for (access, secret) in [(&access[1..], secret.as_str()), (access, &secret[1..])] {
        assert!(matches!(home.obey(create(access, secret), &OPERATOR).await, Err(Refused::KeyPair(_))));
    }
    assert_eq!(shown(home.obey(create(access, &secret), &OPERATOR).await).access_key, access);
}
