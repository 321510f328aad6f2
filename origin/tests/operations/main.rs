//! The S3 operations of a regional store, one file a group, through s3s as clients reach them.

mod buckets;
mod listings;
mod objects;
mod region;
