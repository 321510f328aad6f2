//! Answers out of a store to what other nodes ask.

use origin::regional::RegionalStore;
use s3s::{S3Result, s3_error};

use super::messages::{Answer, Ask, FullHead, ObjectAsk, Told};
use crate::identity::Accounts;

/// The answer to `ask`; about accounts out of home's `accounts`.
pub(crate) async fn answer_one(store: &RegionalStore, accounts: Option<&Accounts>, ask: &Ask) -> Answer {
    try_answer(store, accounts, ask).await.unwrap_or_else(Answer::from)
}

async fn try_answer(store: &RegionalStore, accounts: Option<&Accounts>, ask: &Ask) -> S3Result<Answer> {
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
pub(crate) fn estimated_bytes(answer: &Answer) -> usize {
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
