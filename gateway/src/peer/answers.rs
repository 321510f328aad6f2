//! Answers out of a store: the same whether another node asks or this one does.

use origin::regional::RegionalStore;
use s3s::{S3Result, s3_error};

use super::messages::{Answer, Ask, FullHead, ObjectAsk, Told};
use crate::identity::Accounts;

/// The answers to `asks`, one after the other: none is older than the one before it. About accounts it knows nothing.
pub(crate) async fn answer(store: &RegionalStore, asks: &[Ask]) -> Vec<Answer> {
    answer_up_to(store, None, asks, usize::MAX).await
}

/// The same, with home's `accounts`, but stops after the answer with which they are `bytes_full` or more.
pub(super) async fn answer_up_to(
    store: &RegionalStore,
    accounts: Option<&Accounts>,
    asks: &[Ask],
    bytes_full: usize,
) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(asks.len());
    let mut bytes = 0;
    for ask in asks {
        if bytes >= bytes_full {
            break;
        }
        let answer = answer_one(store, accounts, ask).await.unwrap_or_else(Answer::from);
        bytes += estimated_bytes(&answer);
        answers.push(answer);
    }
    answers
}

async fn answer_one(store: &RegionalStore, accounts: Option<&Accounts>, ask: &Ask) -> S3Result<Answer> {
    match ask {
        Ask::Object(ask) => object(store, ask).await,
        Ask::Facts { bucket } => Ok(Answer::Facts(store.facts(bucket).await?)),
        Ask::User { access_key } => Ok(Answer::User(store.user(access_key).await?)),
        Ask::Account(ask) => {
            let accounts = accounts.ok_or_else(|| s3_error!(InternalError, "This region is not home."))?;
            Ok(Answer::Accounts(accounts.find(ask)))
        }
    }
}

async fn object(store: &RegionalStore, ask: &ObjectAsk) -> S3Result<Answer> {
    let found = store.resolve(&ask.bucket, &ask.key, ask.version.as_deref()).await?;
    let inline = found.inline;
    let head = found.head.map(|head| Box::new(FullHead { head, inline }));
    Ok(Answer::Object {
        facts: Told::of(found.facts, |facts| facts.revision, ask.known_facts),
        head: Told::of(head, |full| full.head.revision, ask.known_head),
        marker: found.marker,
    })
}

/// About as many bytes as the answer takes on the way; what can be large is counted, the rest is a guess.
fn estimated_bytes(answer: &Answer) -> usize {
    const SMALL: usize = 512;
    match answer {
        Answer::Object { facts, head, marker: _ } => {
            let facts = match facts {
                Told::Is(facts) => facts.estimated_bytes(),
                Told::Same | Told::Absent => 0,
            };
            let head = match head {
                Told::Is(full) => full.estimated_bytes(),
                Told::Same | Told::Absent => 0,
            };
            SMALL + facts + head
        }
        Answer::Facts(Some(facts)) => SMALL + facts.estimated_bytes(),
        Answer::User(Some(row)) => SMALL + row.value.len(),
        Answer::Facts(None) | Answer::User(None) | Answer::Accounts(_) | Answer::Failed { .. } => SMALL,
    }
}

impl FullHead {
    /// About as many bytes as it takes, here or on the way.
    pub(crate) fn estimated_bytes(&self) -> usize {
        self.head.estimated_bytes() + self.inline.as_ref().map_or(0, |page| page.bytes.len())
    }
}
