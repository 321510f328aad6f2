//! The ids and numbers by which the two ends of a stream count.

/// A session: issued by an owner, random, never issued twice, good for one process of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

/// The random revision of a head, of a bucket's facts or of a user: two that are equal were never apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub [u8; 16]);

/// A stream as its owner's process knows it: never used twice there, and sent nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamNo(pub u64);

/// A node's resolve, counted up by the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResolveNo(pub u64);

/// A node's renewal, counted up by the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RenewalNo(pub u64);

/// A clear, counted up by the owner over all its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClearNo(pub u64);

/// An announced change, in its owner's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeNo(pub u64);

/// A request that waits for an answer, in its node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter(pub u64);

/// What a node may do with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// Keep it under the session it was asked under; a clear will say when to forget it.
    Keep,
    /// Answer with it those requests that came before its resolve was sent, and nobody else.
    ServeOnce,
}
