//! Never stale, and no round trip on a hit: sessions, leases, and clears before commits.
//!
//! A node keeps one ordered stream to each owner it reads from. Over it the owner gives the node a *session*: a promise,
//! good for one *lease* and renewed while the node asks for it, that nothing the node was told to keep is changed before
//! the node has said that it forgot it. So a node with a live session answers alone; a change costs one message to each
//! session interested in its bucket, and is delayed by at most `max_ack_wait + lease + margin`, whatever nodes do.
//!
//! A node reads its own region's store with neither session nor lease: [`own`].
//!
//! The two ends are pure: [`owner`] and [`node`] have no sockets, no clocks and no locks. Each method takes the time as
//! this process's CLOCK_BOOTTIME reads it; what is to be sent is pulled, one message at a time, so that nothing ever waits
//! for a socket. The model in `gateway/model` drives these very files through every order of events there is in small
//! configurations, and finds it when a rule is broken.
//!
//! ## The rules, and where each is kept
//!
//! 1. *An answer is kept only if no change's interval, announced to visible or given up, overlaps its reading, opened to
//!    queued; intervals are counted per change.* [`owner::Owner::announce`], [`owner::Owner::next_read`], `Changing`.
//! 2. *A serve-once answer serves only requests that came before its resolve was sent; a clear detaches later joiners.*
//!    [`node::Node::ask`], [`node::Node::answers`], [`node::Node::clear`].
//! 3. *Only the stream's reader inserts and removes, in stream order, before it acknowledges.* [`node::Node::answers`] and
//!    [`node::Node::clear`] are called by that reader alone; nothing else inserts.
//! 4. *Interest is registered before the read opens, and released only when no resolve of that session and bucket is
//!    unanswered; a key's clear drops every version's head and the negative.* [`owner::Owner::resolve`],
//!    [`owner::Owner::release`], [`scope::Scope::touches`].
//! 5. *An expired session is never renewed; a head is live only under the session whose stream brought it.*
//!    [`owner::Owner::renew`], [`node::Node::look`].
//! 6. *A read is judged at one instant.* Head and facts are one [`node::Found`], true at an instant between call and return;
//!    the user was the same before and after it, random revision and all: [`node::unchanged`].
//! 7. *In its write transaction a change re-reads what it stands on.* `origin/src/regional/`, each operation's `decide`.
//! 8. *A forwarded change is never sent twice.* `proxy.rs`, which retries GET and HEAD alone.
//! 9. *Confirming is resolving with the revisions held; the rules hold for each key of a batch.* [`node::Question`] names what
//!    is held when the batch closes, and "same" means exactly that; [`owner::Owner::next_outgoing`] marks each answer.
//! 10. *Renewals and clears overtake unsent answers, which become serve-once; unsent bytes are capped, resolves have credits,
//!     nobody stops reading in order to write, applying a clear never waits.* [`owner::Owner::next_outgoing`],
//!     [`owner::Owner::next_read`]; there is one task for each direction of a stream.
//! 11. *A response in progress renews the grace of its instance.* `origin/src/regional/`, the readers of instances, and
//!     `accelerated/renewal.rs` for what a cache answers.

mod aside;

pub mod numbers;
pub mod plant;
pub mod scope;

pub mod node;
pub mod owner;

mod clocks;
mod kept;
mod settings;
pub(crate) mod wire;

mod room;

mod follow;
mod own;
mod serve;

pub(crate) use clocks::boottime;
pub use follow::Follower;
pub(crate) use follow::{Parts as FollowerParts, Unanswered, Use};
pub(crate) use kept::{Kept, KeptUser};
pub use own::Own;
pub(crate) use room::Room;
pub use serve::Sessions;
pub use settings::{OnHomeLoss, Settings};

/// What a session's stream is called in the TLS handshake.
pub(crate) const SESSION_ALPN: &[u8] = wire::ALPN;
