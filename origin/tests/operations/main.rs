//! The S3 operations of a regional store, one file a group, through s3s as clients reach them.

mod buckets;
mod copies;
mod listings;
mod model;
mod multipart;
mod objects;
mod region;
