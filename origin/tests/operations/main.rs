//! The S3 operations of a regional store, one file a group, through s3s as clients reach them.

mod acls;
mod announcements;
mod bucket_policy;
mod buckets;
mod callers;
mod copies;
mod cors;
mod customer_keys;
mod lifecycle;
mod listings;
mod model;
mod multipart;
mod objects;
mod ownership;
mod public_access;
mod quota;
mod region;
mod renames;
mod store_keys;
mod tagging;
#[path = "../../src/test_until.rs"]
mod test_until;
mod unset_configurations;
mod versions;
mod website;
