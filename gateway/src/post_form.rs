//! A browser's form that uploads a file (S3 API reference, "Browser-based uploads using POST"): what its fields say, who
//! signed for it, and the PUT that it stands for.
//!
//! Order of events: [`Prelude`] takes the body up to the file's first byte; [`Form`] holds its fields by name; [`Claim`]
//! says who signed the policy among them, and [`Policy`] what they allow; [`Put`] is the request that the store is asked,
//! with the fields as its headers; [`FileBody`] finds the file's end; [`told`] says to the browser that it is stored.
//! All of it is pure: the [bridge](crate::bridge) reads from the client, and the [store's door](crate::store_service)
//! knows users.

mod fields;
mod multipart;
mod policy;
mod put;
mod signature;
mod success;

use s3s::S3ErrorCode;

use crate::refusal::Refusal;

pub use fields::Form;
pub use multipart::{Begun, Boundary, FileBody, Prelude};
pub use policy::{Policy, Sizes};
pub use put::Put;
pub(crate) use put::escaped;
pub use signature::{Claim, Rules};
pub use success::told;

/// The refusal of a form without a field that it needs, or that has it after the file.
fn missing(field: &str) -> Refusal {
    let message = format!(
        "Bucket POST must contain a field named '{field}'. If it is specified, please check the order of the fields."
    );
    Refusal::new(S3ErrorCode::InvalidArgument, message).with_detail("ArgumentName", field)
}
