//! What the relay promises, told by bytes and by what happens before what.

use std::io::ErrorKind;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::*;
use crate::MIB;
use crate::content::Content;
use crate::until::until;

/// A bound for when a promise does not hold; when it does, nothing waits this long.
const AT_MOST: Duration = Duration::from_secs(60);

/// Longer than any test runs.
const FOR_EVER: Duration = Duration::from_secs(3600);

fn rate(bytes_per_second: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(bytes_per_second)
}

/// A link to a listener, and the listener.
struct Site {
    link: Arc<Link>,
    listener: TcpListener,
}

impl Site {
    async fn start(there: Shape, back: Shape) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let to = listener.local_addr().expect("an address").to_string();
        let link = Arc::new(Link::start("127.0.0.1:0", &to, there, back).await);
        Self { link, listener }
    }

    /// A connection over the link: its near and its far end.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let near = TcpStream::connect(self.link.address()).await.expect("connect");
        let (far, _) = within(self.listener.accept()).await.expect("the connection is carried on");
        (near, far)
    }
}

async fn within<T>(doing: impl Future<Output = T>) -> T {
    timeout(AT_MOST, doing).await.expect("in good time")
}

/// Waits until `wanted` bytes have been taken from the near side.
async fn until_taken(link: &Link, wanted: u64) {
    until(&format!("{wanted} bytes taken"), async || link.taken(Direction::There) >= wanted).await;
}

/// Sends all of `content` and closes, while the other side reads to the end.
async fn transfer(mut from: TcpStream, mut to: TcpStream, content: Content) {
    let sending = async {
        for piece in content.pieces() {
            from.write_all(&piece).await.expect("send");
        }
        from.shutdown().await.expect("close");
    };
    let mut got = Vec::new();
    let (_, received) = tokio::join!(sending, to.read_to_end(&mut got));
    assert_eq!(received.expect("an unbroken connection") as u64, content.bytes);
    content.assert_at(0, &got);
}

/// One byte each way.
async fn ping(near: &mut TcpStream, far: &mut TcpStream) {
    let mut byte = [0];
    near.write_all(b"?").await.expect("ask");
    let _ = within(far.read_exact(&mut byte)).await.expect("be asked");
    far.write_all(b"!").await.expect("answer");
    let _ = within(near.read_exact(&mut byte)).await.expect("be answered");
}

#[tokio::test]
async fn bytes_arrive_in_order_and_each_side_ends_by_itself() {
    let site = Site::start(Shape::delayed(Duration::from_millis(3)), Shape::default()).await;
    let (mut near, mut far) = site.connect().await;
    near.write_all(b"question").await.expect("send");
    near.shutdown().await.expect("close one side");
    let mut got = Vec::new();
    let _ = within(far.read_to_end(&mut got)).await.expect("the question, and its end");
    assert_eq!(got, b"question");
    let content = Content::new(1, 3 * MIB + 17);
    within(transfer(far, near, content)).await;
    assert_eq!(site.link.delivered(Direction::There), 8);
    assert_eq!(site.link.delivered(Direction::Back), content.bytes);
}

/// A megabyte is on its way before its first byte arrives: it does not wait piece by piece.
#[tokio::test]
async fn a_delay_keeps_bytes_in_flight() {
    let site = Site::start(Shape::default(), Shape::delayed(Duration::ZERO)).await;
    let (mut near, _far) = site.connect().await;
    site.link.shape(Direction::There, Shape::delayed(FOR_EVER));
    within(near.write_all(&Content::new(1, MIB).all())).await.expect("send");
    until_taken(&site.link, MIB).await;
    assert_eq!(site.link.delivered(Direction::There), 0);
}

/// Sixteen megabytes in one direction are through before ten questions were answered one after the other.
#[tokio::test]
async fn a_delay_costs_no_throughput() {
    let delay = Shape::delayed(Duration::from_millis(500));
    let site = Site::start(delay, delay).await;
    let (bulk, questions) = (site.connect().await, site.connect().await);
    let (mut near, mut far) = questions;
    let asking = async {
        for _ in 0..10 {
            ping(&mut near, &mut far).await;
        }
    };
    tokio::select! {
        biased;
        () = within(transfer(bulk.0, bulk.1, Content::new(1, 16 * MIB))) => {}
        () = asking => panic!("the transfer waits for its delay again and again"),
    }
}

/// What is in flight is bounded: past it the sender is held back.
#[tokio::test]
async fn a_sender_is_held_back_when_enough_is_in_flight() {
    let site = Site::start(Shape::default(), Shape::default()).await;
    let (mut near, _far) = site.connect().await;
    let far_away = Shape::delayed(FOR_EVER);
    site.link.shape(Direction::There, far_away);
    let room = flight::room_bytes(&Passing { shape: far_away, slowed_to: None, passage: Passage::Open });
    let piece = vec![0; MIB as usize];
    let endless = async {
        loop {
            near.write_all(&piece).await.expect("send");
        }
    };
    let held_back = async {
        until_taken(&site.link, room).await;
        sleep(Duration::from_millis(100)).await;
    };
    tokio::select! {
        () = endless => {}
        () = held_back => {}
    }
    let taken = site.link.taken(Direction::There);
    assert!(taken < room + flight::PIECE_BYTES_MAX as u64, "{taken} bytes are in flight");
}

/// There is room for what bandwidth and delay ask for, whatever the delay.
#[test]
fn room_is_bandwidth_times_delay_and_a_bounded_rest() {
    let room = |shape| flight::room_bytes(&Passing { shape, slowed_to: None, passage: Passage::Open });
    let rest = room(Shape { bytes_per_second_each: rate(1000), ..Shape::default() });
    let delay = Duration::from_millis(80);
    assert_eq!(
        room(Shape { delay, bytes_per_second_each: rate(1_000_000), bytes_per_second_all: None }),
        rest + 80_000
    );
    let narrower = Shape { delay, bytes_per_second_each: rate(1_000_000), bytes_per_second_all: rate(1000) };
    assert_eq!(room(narrower), rest + 80);
}

/// Two connections with a limit each are done before two that share the same limit.
#[tokio::test]
async fn bandwidth_is_a_connections_own_or_shared() {
    let content = Content::new(1, MIB);
    let limit = rate(MIB);
    let own = Shape { bytes_per_second_each: limit, ..Shape::default() };
    let shared = Shape { bytes_per_second_all: limit, ..Shape::default() };
    let both = async |shape| {
        let site = Site::start(shape, Shape::default()).await;
        let (one, other) = (site.connect().await, site.connect().await);
        tokio::join!(transfer(one.0, one.1, content), transfer(other.0, other.1, content));
    };
    tokio::select! {
        biased;
        () = within(both(own)) => {}
        () = within(both(shared)) => panic!("a shared limit was not shared"),
    }
}

/// While a direction is a black hole nothing comes through, in the other one all does; then it goes on.
#[tokio::test]
async fn a_black_hole_holds_what_was_sent() {
    let site = Site::start(Shape::default(), Shape::default()).await;
    let (mut near, mut far) = site.connect().await;
    site.link.cut(Direction::There, Cut::BlackHole);
    near.write_all(b"question").await.expect("send");
    far.write_all(b"news").await.expect("send");
    let mut news = [0; 4];
    let _ = within(near.read_exact(&mut news)).await.expect("the other direction works");
    assert_eq!(site.link.delivered(Direction::There), 0);
    let waiting = TcpStream::connect(site.link.address()).await.expect("the relay accepts");
    site.link.heal();
    let mut question = [0; 8];
    let _ = within(far.read_exact(&mut question)).await.expect("it goes on");
    let _ = within(site.listener.accept()).await.expect("so does a connection attempt");
    drop(waiting);
}

/// A connection that lost something is silent for good, and a new one works.
#[tokio::test]
async fn what_is_dropped_is_lost() {
    let site = Site::start(Shape::default(), Shape::default()).await;
    let (mut near, mut far) = site.connect().await;
    ping(&mut near, &mut far).await;
    site.link.cut(Direction::There, Cut::Drop);
    near.write_all(b"lost").await.expect("send");
    until_taken(&site.link, 5).await;
    // Until the lost bytes would have arrived. After one sleep that ends late this task may go on before the link's has
    // had a turn.
    for _ in 0..20 {
        sleep(Duration::from_millis(1)).await;
    }
    site.link.heal();
    near.write_all(b"after it").await.expect("send");
    until_taken(&site.link, 13).await;
    let (mut new_near, mut new_far) = site.connect().await;
    ping(&mut new_near, &mut new_far).await;
    assert_eq!(site.link.delivered(Direction::There), 2, "a byte came after a hole");
    site.link.cut(Direction::There, Cut::Reset);
    assert_eq!(
        within(far.read(&mut [0; 8])).await.expect_err("nothing to read").kind(),
        ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn a_reset_reaches_both_sides_and_spares_new_connections() {
    let site = Site::start(Shape::default(), Shape::default()).await;
    for direction in [Direction::There, Direction::Back] {
        let (mut near, mut far) = site.connect().await;
        ping(&mut near, &mut far).await;
        site.link.cut(direction, Cut::Reset);
        for side in [&mut near, &mut far] {
            let end = within(side.read(&mut [0; 8])).await;
            assert_eq!(end.expect_err("no clean end").kind(), ErrorKind::ConnectionReset);
        }
    }
    let (mut near, mut far) = site.connect().await;
    ping(&mut near, &mut far).await;
}

/// The receiving side is reset, while the sending side may go on for as long as it likes.
#[tokio::test]
async fn half_open_is_noticed_by_one_side_alone() {
    let site = Site::start(Shape::default(), Shape::default()).await;
    let (mut near, mut far) = site.connect().await;
    ping(&mut near, &mut far).await;
    site.link.cut(Direction::There, Cut::HalfOpen);
    let end = within(far.read(&mut [0; 8])).await;
    assert_eq!(end.expect_err("no clean end").kind(), ErrorKind::ConnectionReset);
    drop(far);
    for _ in 0..20 {
        within(near.write_all(&[0; 4096])).await.expect("nobody has told the sender");
        sleep(Duration::from_millis(1)).await;
    }
    drop(site);
    assert!(within(near.read(&mut [0; 8])).await.is_err(), "the link is gone");
}

/// A slowed connection sends what it may, and all of the rest as soon as it is healed.
#[tokio::test]
async fn a_slow_connection_crawls_until_it_is_healed() {
    let site = Site::start(Shape::default(), Shape::default()).await;
    let (mut near, mut far) = site.connect().await;
    ping(&mut near, &mut far).await;
    let crawl = NonZeroU64::new(20).expect("not zero");
    site.link.cut(Direction::There, Cut::Slow(crawl));
    near.write_all(&Content::new(1, 1000).all()).await.expect("send");
    let mut first = [0; 1];
    let _ = within(far.read_exact(&mut first)).await.expect("a byte crawls through");
    assert!(site.link.taken(Direction::There) < 900, "that is no crawl");
    site.link.heal();
    let mut rest = vec![0; 999];
    let _ = within(far.read_exact(&mut rest)).await.expect("the rest");
    Content::new(1, 1000).assert_at(1, &rest);
}

/// Where nobody listens, the near side is told.
#[tokio::test]
async fn a_far_side_that_is_gone_resets_the_near_one() {
    let site = Site::start(Shape::default(), Shape::default()).await;
    let (mut near, far) = site.connect().await;
    drop(far);
    assert_eq!(within(near.read(&mut [0; 8])).await.expect("a clean end"), 0);
    let Site { link, listener } = site;
    drop(listener);
    let mut refused = TcpStream::connect(link.address()).await.expect("the relay accepts");
    assert!(within(refused.read(&mut [0; 8])).await.is_err());
}
