//! The node's end of the socket.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use origin::regional::RegionalStore;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::warn;

use super::{Answer, COMMAND_BYTES_MAX, Command, Done, short_name};
use crate::accelerated::{ToPurge, ToWarm, Warmed, WasPurged};
use crate::explain::explain;
use crate::scrub::scrub;
use crate::status::Standing;
use crate::topology::RegionName;
use crate::user_admin::{Manager, UserAdmin};

/// Commands at one time; further ones wait to be accepted.
const COMMANDS_MAX: usize = 16;

/// For a command to arrive whole, and for its answer to be read.
const PATIENCE: Duration = Duration::from_secs(10);

/// The socket could not be made.
#[derive(Debug, thiserror::Error)]
#[error("operators' socket {}: {cause}", path.display())]
pub struct SocketError {
    path: PathBuf,
    cause: io::Error,
}

/// What commands are about.
struct Node {
    users: Result<Arc<UserAdmin>, RegionName>,
    standing: Standing,
    cache: Arc<dyn Cached>,
    store: RegionalStore,
}

/// What operators may do with a node's cache; an error is one line for them.
#[async_trait]
pub trait Cached: Send + Sync {
    /// Brings an object into it.
    async fn warm(&self, wanted: ToWarm) -> Result<Warmed, String>;

    /// Drops objects from it.
    async fn purge(&self, wanted: ToPurge) -> Result<WasPurged, String>;
}

/// The operators' socket of one node. Dropping it closes and removes it.
pub struct OperatorSocket {
    path: PathBuf,
    accepting: JoinHandle<()>,
}

impl OperatorSocket {
    /// Listens on `path`. Whoever calls this holds the data directory, so a socket that is there already is left
    /// over from a process that is gone. `users` is there where the region is home, elsewhere home's name is.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn open(
        path: &Path,
        users: Result<Arc<UserAdmin>, RegionName>,
        standing: Standing,
        cache: Arc<dyn Cached>,
        store: RegionalStore,
    ) -> Result<Self, SocketError> {
        let listener = listen(path).map_err(|cause| SocketError { path: path.to_owned(), cause })?;
        let accepting = tokio::spawn(accept(listener, Arc::new(Node { users, standing, cache, store })));
        Ok(Self { path: path.to_owned(), accepting })
    }
}

impl Drop for OperatorSocket {
    fn drop(&mut self) {
        self.accepting.abort();
        // A socket that stays behind does no harm: nobody listens on it, and the next node replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Binds aside, narrows the mode and only then gives the socket its name: it is never open to others.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let aside = path.with_added_extension("new");
    let _ = std::fs::remove_file(&aside);
    let (_directory, name) = short_name(&aside)?;
    let listener = UnixListener::bind(name)?;
    std::fs::set_permissions(&aside, Permissions::from_mode(0o600))?;
    std::fs::rename(&aside, path)?;
    Ok(listener)
}

async fn accept(listener: UnixListener, node: Arc<Node>) {
    let places = Arc::new(Semaphore::new(COMMANDS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let node = node.clone();
                tokio::spawn(async move {
                    // An operator who went away gets no answer; there is nobody to tell.
                    let _ = converse(stream, &node).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "accept on the operators' socket failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, node: &Node) -> io::Result<()> {
    let operator = Manager::Operator { uid: stream.peer_cred()?.uid() };
    let (reader, mut writer) = stream.into_split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader.take(COMMAND_BYTES_MAX));
    tokio::time::timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await??;
    let answer = match serde_json::from_slice(&line) {
        Ok(command) => obey(command, &operator, node).await,
        Err(error) => Answer::Refused(format!("not a command of this release: {error}")),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    tokio::time::timeout(PATIENCE, writer.write_all(&line)).await?
}

async fn obey(command: Command, operator: &Manager, node: &Node) -> Answer {
    let users = || node.users.as_ref().map_err(|home| Answer::NotHome { home: home.to_string() });
    let done = match command {
        Command::User(command) => {
            let users = match users() {
                Ok(users) => users,
                Err(not_home) => return not_home,
            };
            let done = users.obey(command, operator).await;
            done.map(|done| Done::User(Box::new(done))).map_err(|refused| refused.to_string())
        }
        Command::Explain(question) => match users() {
            Ok(users) => {
                explain(users, question).await.map(Done::Explained).map_err(|error| error.to_string())
            }
            Err(not_home) => return not_home,
        },
        Command::Status => Ok(Done::Status(node.standing.now())),
        Command::Warm(wanted) => node.cache.warm(wanted).await.map(Done::Warmed),
        Command::Purge(wanted) => node.cache.purge(wanted).await.map(Done::Purged),
        Command::Scrub(wanted) => scrub(&node.store, wanted).await.map(|step| Done::Scrubbed(Box::new(step))),
    };
    done.map_or_else(Answer::Refused, |done| Answer::Done(Box::new(done)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use origin::regional::{self, ScrubScope, Seams, Settings};

    use super::*;
    use crate::client::Client;
    use crate::coherence::{self, Own, Room, Sessions};
    use crate::identity::{AtHome, ClusterKeys, Identities, UserName, Users};
    use crate::metrics::Metrics;
    use crate::operator::ask;
    use crate::scrub::ToScrub;
    use crate::topology::Topology;
    use crate::user_admin::{Buckets, Done as UsersDone, UserCommand};

    /// Of a node that knows no other one.
    fn standing() -> Standing {
        let topology =
            Topology::new("penstock.localhost", "ord1", [("ord1", "127.0.0.1:9003")]).expect("good");
        let metrics = Metrics::new(&prometheus::Registry::new());
        let settings = coherence::Settings::default();
        let sessions = Sessions::new(settings, Arc::new(topology), metrics, Own::new(&Room::new(0)));
        Standing::new(RegionName::parse("ord1").expect("name"), sessions, Vec::new())
    }

    /// Of a node that knows no object.
    struct NoCache;

    #[async_trait]
    impl Cached for NoCache {
        async fn warm(&self, wanted: ToWarm) -> Result<Warmed, String> {
            Err(format!("there is no bucket {}", wanted.bucket))
        }

        async fn purge(&self, wanted: ToPurge) -> Result<WasPurged, String> {
            Err(format!("not told to purge {wanted:?}"))
        }
    }

    fn no_cache() -> Arc<dyn Cached> {
        Arc::new(NoCache)
    }

    /// Of ord1, with nothing in it.
    async fn store(dir: &tempfile::TempDir) -> RegionalStore {
        let settings = Settings::new(dir.path().join("store"), "ord1");
        RegionalStore::open(settings, Seams::default(), &prometheus::Registry::new()).await.expect("open")
    }

    #[tokio::test]
    async fn every_node_scrubs_its_own_store_and_no_faster_than_may_be() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("admin.sock");
        let home = RegionName::parse("las1").expect("name");
        let _socket = OperatorSocket::open(&path, Err(home), standing(), no_cache(), store(&dir).await)
            .expect("socket");
        let everything = |bytes_per_second| {
            let from = regional::ToScrub::Begin(ScrubScope::Everything);
            Command::Scrub(ToScrub { from, bytes_per_second })
        };
        let Answer::Done(done) = told(&path, everything(1 << 30)).await else { panic!("not scrubbed") };
        let Done::Scrubbed(step) = *done else { panic!("{done:?}") };
        let scrubbed = step.scrubbed.expect("there is a store");
        assert_eq!((step.node.as_str(), scrubbed.damage, scrubbed.to), ("ord1", vec![], None));
        assert!(matches!(told(&path, everything(1)).await, Answer::Refused(_)));
    }

    /// Any node warms its cache, wherever users are written.
    #[tokio::test]
    async fn every_node_is_told_to_warm() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("admin.sock");
        let home = RegionName::parse("las1").expect("name");
        let _socket = OperatorSocket::open(&path, Err(home), standing(), no_cache(), store(&dir).await)
            .expect("socket");
        let wanted = ToWarm {
            region: None,
            bucket: "photos".into(),
            key: "cat.jpg".into(),
            pin_seconds: Some(60),
            start: true,
        };
        let answer = told(&path, Command::Warm(wanted)).await;
        assert!(matches!(answer, Answer::Refused(reason) if reason == "there is no bucket photos"));
    }

    #[tokio::test]
    async fn every_node_says_how_it_stands() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("admin.sock");
        let home = RegionName::parse("las1").expect("name");
        let _socket = OperatorSocket::open(&path, Err(home), standing(), no_cache(), store(&dir).await)
            .expect("socket");
        let Answer::Done(done) = told(&path, Command::Status).await else { panic!("no status") };
        assert!(matches!(*done, Done::Status(status) if status.region == "ord1"));
    }

    async fn told(socket: &Path, command: Command) -> Answer {
        let socket = socket.to_owned();
        let asking = tokio::task::spawn_blocking(move || ask(&socket, &command));
        asking.await.expect("no panic").expect("an answer")
    }

    fn alice() -> UserName {
        UserName { name: "alice".into(), account: None }
    }

    fn create_alice() -> Command {
        let wanted = serde_json::json!({"name": "alice", "account": "research", "level": "full"});
        Command::User(UserCommand::Create(serde_json::from_value(wanted).expect("a wanted user")))
    }

    #[tokio::test]
    async fn a_user_made_through_the_socket_is_found_by_the_node_and_shown_without_secret() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let store = store(&dir).await;
        let keys = Arc::new(ClusterKeys::parse(&ClusterKeys::generate()).expect("keys"));
        let path = dir.path().join("admin.sock");
        let users = Users::open(store.clone(), keys.clone(), Arc::default()).await.expect("users");
        let home = RegionName::parse("ord1").expect("name");
        let admin = UserAdmin::new(users, Buckets::new(HashMap::new()), home, Vec::new());
        let socket = OperatorSocket::open(&path, Ok(Arc::new(admin)), standing(), no_cache(), store.clone())
            .expect("socket");
        assert_eq!(std::fs::metadata(&path).expect("socket").permissions().mode() & 0o777, 0o600);

        let made = told(&path, create_alice()).await;
        let Answer::Done(made) = made else { panic!("{made:?}") };
        let Done::User(made) = *made else { panic!("{made:?}") };
        let UsersDone::UserWithKeys { user, key_pairs, .. } = *made else { panic!("{made:?}") };
        let identities = AtHome::new(store, Own::new(&Room::new(0)), keys);
        let found =
            identities.find(&user.access_key, Client::default()).await.expect("found").expect("known");
        assert_eq!(
            (found.user.name.as_str(), found.secret.expose()),
            ("alice", key_pairs[0].secret_key.expose())
        );
        assert!(identities.find("PKNOBODY", Client::default()).await.expect("asked").is_none());

        let again = told(&path, create_alice()).await;
        assert!(matches!(again, Answer::Refused(reason) if reason.contains("already")));
        let show = Command::User(UserCommand::Show { user: alice(), reveal: false });
        assert_eq!(
            told(&path, show).await,
            Answer::Done(Box::new(Done::User(Box::new(UsersDone::User(user)))))
        );
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_node_elsewhere_names_home() {
        let dir = tempfile::tempdir().expect("temporary directory");
        // Longer than the 108 bytes that a socket's name may have.
        let path = dir.path().join("d".repeat(120)).join("admin.sock");
        std::fs::create_dir(path.parent().expect("parent")).expect("create");
        let home = RegionName::parse("ord1").expect("name");
        let _socket = OperatorSocket::open(&path, Err(home), standing(), no_cache(), store(&dir).await)
            .expect("socket");
        assert_eq!(told(&path, create_alice()).await, Answer::NotHome { home: "ord1".into() });
    }

    #[tokio::test]
    async fn a_line_that_is_no_command_is_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("admin.sock");
        let home = RegionName::parse("ord1").expect("name");
        let _socket = OperatorSocket::open(&path, Err(home), standing(), no_cache(), store(&dir).await)
            .expect("socket");
        let mut stream = UnixStream::connect(&path).await.expect("connect");
        stream.write_all(b"{\"purge_everything\":{}}\n").await.expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        assert!(answer.contains("refused"), "{answer}");
    }
}
