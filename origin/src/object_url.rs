//! Where the object of a request is, for those who are told.

/// The URL of the object that a request is for, as its client has written it and without its query. The store does not know
/// by which name clients reach it: it travels as an extension of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectUrl(pub String);
