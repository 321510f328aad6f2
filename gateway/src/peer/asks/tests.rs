use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::super::messages::{Batch, PROTOCOL};
use super::*;

/// A carrier that reports each batch and waits to be let through; answers each question with "none".
struct Gate {
    sent: mpsc::UnboundedSender<Vec<Ask>>,
    pass: Semaphore,
    answers_max: usize,
}

#[async_trait]
impl Carrier for Gate {
    async fn carry(&self, asks: &[Ask]) -> Result<Vec<Answer>, AskError> {
        self.sent.send(asks.to_vec()).expect("test listens");
        self.pass.acquire().await.expect("gate").forget();
        Ok(asks.iter().take(self.answers_max).map(|_| Answer::User(None)).collect())
    }
}

fn user(access_key: &str) -> Ask {
    Ask::User { access_key: access_key.to_owned() }
}

struct Rig {
    gate: Arc<Gate>,
    queue: Arc<Queue>,
    sent: mpsc::UnboundedReceiver<Vec<Ask>>,
}

impl Rig {
    fn new(answers_max: usize, bounds: Bounds) -> Self {
        let (sender, sent) = mpsc::unbounded_channel();
        let gate = Arc::new(Gate { sent: sender, pass: Semaphore::new(0), answers_max });
        let queue = Arc::new(Queue::new(gate.clone(), bounds, tokio::runtime::Handle::current()));
        Self { gate, queue, sent }
    }

    /// Starts asking and returns once the question is in the queue.
    async fn ask(&self, asks: Vec<Ask>) -> tokio::task::JoinHandle<Result<usize, AskError>> {
        let queue = self.queue.clone();
        let task = tokio::spawn(async move { queue.ask(asks).await.map(|answers| answers.len()) });
        tokio::task::yield_now().await;
        task
    }

    async fn next_batch(&mut self) -> Vec<Ask> {
        tokio::time::timeout(Duration::from_secs(5), self.sent.recv())
            .await
            .expect("a batch")
            .expect("carrier lives")
    }
}

const ONE_BATCH: Bounds = Bounds { batches_max: 1, waiting_max: 10 };

#[tokio::test]
async fn a_question_asked_after_a_batch_left_does_not_share_its_answer() {
    let mut rig = Rig::new(usize::MAX, ONE_BATCH);
    let first = rig.ask(vec![user("a")]).await;
    assert_eq!(rig.next_batch().await, [user("a")]);
    let second = rig.ask(vec![user("a")]).await;
    let third = rig.ask(vec![user("a")]).await;
    rig.gate.pass.add_permits(1);
    assert_eq!(first.await.expect("asked"), Ok(1));
    // The two that came later were asked once, together, and anew.
    assert_eq!(rig.next_batch().await, [user("a")]);
    assert!(!second.is_finished() && !third.is_finished());
    rig.gate.pass.add_permits(1);
    assert_eq!(second.await.expect("asked"), Ok(1));
    assert_eq!(third.await.expect("asked"), Ok(1));
}

#[tokio::test]
async fn a_shared_question_never_moves_before_the_one_it_must_follow() {
    let mut rig = Rig::new(usize::MAX, ONE_BATCH);
    let _blocker = rig.ask(vec![user("z")]).await;
    rig.next_batch().await;
    let _first = rig.ask(vec![user("a"), user("shared")]).await;
    let _second = rig.ask(vec![user("b"), user("shared")]).await;
    let _third = rig.ask(vec![user("a"), user("shared")]).await;
    rig.gate.pass.add_permits(1);
    // "shared" for b is read again, after b; the third group may share that one.
    assert_eq!(rig.next_batch().await, [user("a"), user("shared"), user("b"), user("shared")]);
}

#[tokio::test]
async fn questions_the_owner_did_not_get_to_are_asked_again() {
    let mut rig = Rig::new(1, ONE_BATCH);
    let _blocker = rig.ask(vec![user("z")]).await;
    rig.next_batch().await;
    let first = rig.ask(vec![user("a")]).await;
    let second = rig.ask(vec![user("b")]).await;
    rig.gate.pass.add_permits(3);
    assert_eq!(rig.next_batch().await, [user("a"), user("b")]);
    assert_eq!(rig.next_batch().await, [user("b")]);
    assert_eq!((first.await.expect("asked"), second.await.expect("asked")), (Ok(1), Ok(1)));
}

#[tokio::test]
async fn an_owner_that_never_answers_a_group_is_not_asked_for_ever() {
    let rig = Rig::new(1, ONE_BATCH);
    rig.gate.pass.add_permits(10);
    let asked = rig.ask(vec![user("a"), user("b")]).await;
    assert!(matches!(asked.await.expect("asked"), Err(AskError::Malformed(_))));
}

#[tokio::test]
async fn past_the_bound_questions_are_refused_at_once() {
    let mut rig = Rig::new(usize::MAX, Bounds { batches_max: 1, waiting_max: 2 });
    let _blocker = rig.ask(vec![user("z")]).await;
    rig.next_batch().await;
    let _waiting = (rig.ask(vec![user("a")]).await, rig.ask(vec![user("b")]).await);
    assert_eq!(rig.ask(vec![user("c")]).await.await.expect("asked"), Err(AskError::Busy));
}

#[tokio::test]
async fn a_question_nobody_waits_for_is_not_sent() {
    let mut rig = Rig::new(usize::MAX, ONE_BATCH);
    let _blocker = rig.ask(vec![user("z")]).await;
    rig.next_batch().await;
    let given_up = rig.ask(vec![user("a")]).await;
    let _waiting = rig.ask(vec![user("b")]).await;
    given_up.abort();
    let _ = given_up.await;
    rig.gate.pass.add_permits(1);
    assert_eq!(rig.next_batch().await, [user("b")]);
}

/// Questions leave together up to the last byte that a batch may have, and not with one byte more.
#[tokio::test]
async fn a_batch_is_never_longer_than_its_owner_reads() {
    let long = user(&"a".repeat(BATCH_BYTES_MAX / 2));
    let beside = user(&"b".repeat(100_000)).encoded_bytes() - 100_000;
    let rest = ASKS_BYTES_MAX - long.encoded_bytes() - beside;
    for (key_bytes, batches) in [(rest, vec![2]), (rest + 1, vec![1, 1])] {
        let mut rig = Rig::new(usize::MAX, ONE_BATCH);
        let _blocker = rig.ask(vec![user("z")]).await;
        rig.next_batch().await;
        let asked = [rig.ask(vec![long.clone()]).await, rig.ask(vec![user(&"b".repeat(key_bytes))]).await];
        rig.gate.pass.add_permits(3);
        for asks_count in batches {
            let batch = Batch { protocol: PROTOCOL, asks: rig.next_batch().await.into() };
            assert_eq!(batch.asks.len(), asks_count, "{key_bytes}");
            let bytes = rmp_serde::to_vec_named(&batch).expect("encodes").len();
            assert!(bytes <= BATCH_BYTES_MAX, "{bytes}");
        }
        for asked in asked {
            assert_eq!(asked.await.expect("asked"), Ok(1));
        }
    }
}

#[tokio::test]
async fn a_question_longer_than_any_batch_is_refused() {
    let rig = Rig::new(usize::MAX, ONE_BATCH);
    let refused = rig.ask(vec![user(&"a".repeat(BATCH_BYTES_MAX))]).await.await.expect("asked");
    assert!(matches!(refused, Err(AskError::TooLong(_))), "{refused:?}");
}
