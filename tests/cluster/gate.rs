//! A gate in front of a region's peer listener: how many bytes may leave it is in the test's hand.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

/// Bytes that pass at a time; small against a block, so that what is allowed is shared by all connections.
const PIECE_BYTES: usize = 16 << 10;

/// As good as no limit: more bytes than any test moves.
const UNLIMITED_BYTES: usize = Semaphore::MAX_PERMITS / 2;

/// Passes connections on; what comes back from the region is held when its allowance is used up.
pub struct Gate {
    allowance: Arc<Semaphore>,
    cut: Arc<Notify>,
}

impl Gate {
    /// An open gate that listens at `address` and passes connections on to `region`.
    pub(super) async fn start(address: String, region: String) -> Self {
        let allowance = Arc::new(Semaphore::new(UNLIMITED_BYTES));
        let listener = TcpListener::bind(address).await.expect("listen at the gate");
        let cut = Arc::new(Notify::new());
        let gate = Self { allowance: Arc::clone(&allowance), cut: Arc::clone(&cut) };
        tokio::spawn(async move {
            while let Ok((node, _)) = listener.accept().await {
                // A region that is down refuses: so does the gate, by closing.
                if let Ok(owner) = TcpStream::connect(&region).await {
                    let (allowance, cut) = (Arc::clone(&allowance), Arc::clone(&cut));
                    tokio::spawn(async move {
                        tokio::select! { () = pass(node, owner, allowance) => {}, () = cut.notified() => {} }
                    });
                }
            }
        });
        gate
    }

    /// From now on `bytes` more may leave the region.
    pub fn allow_only(&self, bytes: usize) {
        self.allowance.forget_permits(usize::MAX);
        self.allowance.add_permits(bytes);
    }

    /// Breaks every connection that goes through.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// Everything may pass again.
    pub fn open(&self) {
        self.allowance.add_permits(UNLIMITED_BYTES);
    }
}

/// Copies both ways until either side closes.
async fn pass(node: TcpStream, owner: TcpStream, allowance: Arc<Semaphore>) {
    let (mut from_node, mut to_node) = node.into_split();
    let (mut from_owner, mut to_owner) = owner.into_split();
    let asking = async {
        // Either side may end a connection at any moment; the other then sees it end.
        let _ = tokio::io::copy(&mut from_node, &mut to_owner).await;
    };
    let answering = async {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(bytes @ 1..) = from_owner.read(&mut piece).await {
            allowance.acquire_many(bytes as u32).await.expect("the gate is never closed for good").forget();
            if to_node.write_all(&piece[..bytes]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = asking => {}, () = answering => {} }
}
