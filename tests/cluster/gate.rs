//! A gate in front of a region's peer listener: how many bytes may leave it is in the test's hand.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// Bytes that pass at a time.
const PIECE_BYTES: usize = 16 << 10;

/// As good as no limit.
const UNLIMITED_BYTES: usize = usize::MAX;

/// Passes connections on; what comes back from the region is held when a connection's allowance is used up. Each
/// connection has its own, so that answers to small questions do not wait behind the bytes of an object.
pub struct Gate {
    allowance: watch::Sender<usize>,
    cut: Arc<Notify>,
}

impl Gate {
    /// An open gate that listens at `address` and passes connections on to `region`.
    pub(super) async fn start(address: String, region: String) -> Self {
        let (allowance, allowed) = watch::channel(UNLIMITED_BYTES);
        let listener = TcpListener::bind(address).await.expect("listen at the gate");
        let cut = Arc::new(Notify::new());
        let gate = Self { allowance, cut: Arc::clone(&cut) };
        tokio::spawn(async move {
            while let Ok((node, _)) = listener.accept().await {
                // A region that is down refuses: so does the gate, by closing.
                if let Ok(owner) = TcpStream::connect(&region).await {
                    let (allowed, cut) = (allowed.clone(), Arc::clone(&cut));
                    tokio::spawn(async move {
                        tokio::select! { () = pass(node, owner, allowed) => {}, () = cut.notified() => {} }
                    });
                }
            }
        });
        gate
    }

    /// From now on `bytes` more may leave the region on each connection.
    pub fn allow_only(&self, bytes: usize) {
        self.allowance.send_replace(bytes);
    }

    /// Breaks every connection that goes through.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// Everything may pass again.
    pub fn open(&self) {
        self.allow_only(UNLIMITED_BYTES);
    }
}

/// Copies both ways until either side closes.
async fn pass(node: TcpStream, owner: TcpStream, mut allowed: watch::Receiver<usize>) {
    let (mut from_node, mut to_node) = node.into_split();
    let (mut from_owner, mut to_owner) = owner.into_split();
    let asking = async {
        // Either side may end a connection at any moment; the other then sees it end.
        let _ = tokio::io::copy(&mut from_node, &mut to_owner).await;
    };
    let answering = async {
        let mut left = *allowed.borrow_and_update();
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(bytes @ 1..) = from_owner.read(&mut piece).await {
            while allowed.has_changed().unwrap_or(false) || left < bytes {
                // The gate is gone with its test: nothing is left to hold for.
                if left < bytes && allowed.changed().await.is_err() {
                    return;
                }
                left = *allowed.borrow_and_update();
            }
            left -= bytes;
            if to_node.write_all(&piece[..bytes]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = asking => {}, () = answering => {} }
}
