//! The buckets that grants name, found at the regions that own them: a grant is bound to the bucket that is there now.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use origin::head::{Facts, Head};
use s3s::S3Result;
use serde::{Deserialize, Serialize};

use super::Refused;
use crate::accelerated::Owner;
use crate::coherence::Use;
use crate::identity::{Access, BucketGrant};
use crate::topology::RegionName;

/// Longest bucket name that is asked about: S3's own limit.
const BUCKET_BYTES_MAX: usize = 63;

/// A bucket, as whoever manages users names it: `[region/]bucket`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WantedBucket {
    region: Option<String>,
    bucket: String,
}

/// A grant, as whoever manages users names it: `[region/]bucket=access`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WantedGrant {
    bucket: WantedBucket,
    access: Access,
}

/// Why a text names no bucket, or no grant.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MalformedGrant {
    /// Not a bucket's name.
    #[error("{0:?} is not a bucket: BUCKET or REGION/BUCKET")]
    Bucket(String),
    /// Not a bucket's name, `=` and an access.
    #[error("{0:?} is not a grant: BUCKET=ACCESS or REGION/BUCKET=ACCESS, with read, write or readwrite")]
    Grant(String),
}

impl FromStr for WantedBucket {
    type Err = MalformedGrant;

    fn from_str(text: &str) -> Result<Self, MalformedGrant> {
        let (region, bucket) = match text.split_once('/') {
            Some((region, bucket)) => (Some(region.to_owned()), bucket),
            None => (None, text),
        };
        let is_name = |name: &str| {
            (1..=BUCKET_BYTES_MAX).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        if !is_name(bucket) || region.as_deref().is_some_and(|region| !is_name(region)) {
            return Err(MalformedGrant::Bucket(text.to_owned()));
        }
        Ok(Self { region, bucket: bucket.to_owned() })
    }
}

impl FromStr for WantedGrant {
    type Err = MalformedGrant;

    fn from_str(text: &str) -> Result<Self, MalformedGrant> {
        let malformed = || MalformedGrant::Grant(text.to_owned());
        let (bucket, access) = text.split_once('=').ok_or_else(malformed)?;
        let access = match access {
            "read" => Access::Read,
            "write" => Access::Write,
            "readwrite" => Access::ReadWrite,
            _ => return Err(malformed()),
        };
        Ok(Self { bucket: bucket.parse().map_err(|_| malformed())?, access })
    }
}

impl fmt::Display for WantedBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.region {
            Some(region) => write!(f, "{region}/{}", self.bucket),
            None => f.write_str(&self.bucket),
        }
    }
}

impl fmt::Display for WantedGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.bucket, self.access.as_str())
    }
}

impl TryFrom<String> for WantedBucket {
    type Error = MalformedGrant;

    fn try_from(text: String) -> Result<Self, MalformedGrant> {
        text.parse()
    }
}

impl TryFrom<String> for WantedGrant {
    type Error = MalformedGrant;

    fn try_from(text: String) -> Result<Self, MalformedGrant> {
        text.parse()
    }
}

impl From<WantedBucket> for String {
    fn from(bucket: WantedBucket) -> Self {
        bucket.to_string()
    }
}

impl From<WantedGrant> for String {
    fn from(grant: WantedGrant) -> Self {
        grant.to_string()
    }
}

impl WantedBucket {
    /// The bucket's region, `default` where none is named, and its name.
    pub(super) fn named(self, default: &RegionName) -> (String, String) {
        (self.region.unwrap_or_else(|| default.to_string()), self.bucket)
    }
}

/// Every region's buckets, as this node reaches them.
pub struct Buckets(HashMap<RegionName, Arc<Owner>>);

impl Buckets {
    /// The buckets of the regions that `owners` own.
    #[must_use]
    pub fn new(owners: HashMap<RegionName, Arc<Owner>>) -> Self {
        Self(owners)
    }

    /// The region called `name`.
    ///
    /// # Errors
    /// `NoRegion`.
    pub(super) fn region(&self, name: &str) -> Result<RegionName, Refused> {
        let found = self.0.get_key_value(name);
        found.map(|(region, _)| region.clone()).ok_or_else(|| Refused::NoRegion(name.to_owned()))
    }

    /// The grants that are `wanted`, each of a bucket that is there now, and of the account `owner` where one is given.
    ///
    /// # Errors
    /// `NoRegion`, `NoBucket` (for another account's bucket too, so that nobody learns what others have),
    /// `RegionOutOfReach`.
    pub(super) async fn grants(
        &self,
        wanted: Vec<WantedGrant>,
        default: &RegionName,
        owner: Option<&str>,
    ) -> Result<Vec<BucketGrant>, Refused> {
        let mut grants: Vec<BucketGrant> = Vec::with_capacity(wanted.len());
        for WantedGrant { bucket, access } in wanted {
            let (region, bucket) = bucket.named(default);
            let region = self.region(&region)?;
            let facts = self.facts(&region, &bucket).await.map_err(|cause| Refused::RegionOutOfReach {
                region: region.clone(),
                bucket: bucket.clone(),
                cause,
            })?;
            let facts = facts.filter(|facts| owner.is_none_or(|owner| facts.owner == owner));
            let facts =
                facts.ok_or_else(|| Refused::NoBucket { region: region.clone(), bucket: bucket.clone() })?;
            let grant =
                BucketGrant { region: region.to_string(), bucket, incarnation: facts.incarnation, access };
            // The last word on a bucket counts.
            grants.retain(|earlier| earlier.region != grant.region || earlier.bucket != grant.bucket);
            grants.push(grant);
        }
        Ok(grants)
    }

    /// The regions, by name.
    pub fn regions(&self) -> impl Iterator<Item = &RegionName> {
        let mut names: Vec<_> = self.0.keys().collect();
        names.sort();
        names.into_iter()
    }

    /// A bucket's facts, and the head of an object in it, from one snapshot of its owner's.
    ///
    /// # Errors
    /// When `region`, which must be one of these, cannot be asked.
    pub async fn object(
        &self,
        region: &RegionName,
        bucket: &str,
        key: &str,
    ) -> S3Result<(Option<Facts>, Option<Head>)> {
        let owner = self.0.get(region).expect("the region is one of these");
        let (facts, head) = owner.object(bucket, key).await?;
        Ok((facts.map(Arc::unwrap_or_clone), head.map(|full| full.head.clone())))
    }

    async fn facts(&self, region: &RegionName, bucket: &str) -> S3Result<Option<Facts>> {
        let owner = self.0.get(region).expect("the region was found among these");
        Ok(owner.facts(bucket, Use::LookAndKeep).await?.map(Arc::unwrap_or_clone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_a_bucket_and_an_access() {
        for text in ["photos=read", "las1/photos=readwrite", "a.b-c_1=write"] {
            let grant: WantedGrant = text.parse().expect(text);
            assert_eq!(grant.to_string(), text);
        }
        for bad in [
            "photos",
            "photos=",
            "photos=Read",
            "photos=full",
            "=read",
            "/photos=read",
            "las1/=read",
            "a/b/c=read",
            "pho tos=read",
            "photos=read=read",
            "",
        ] {
            assert_eq!(bad.parse::<WantedGrant>(), Err(MalformedGrant::Grant(bad.into())), "{bad}");
        }
        let long = "b".repeat(64);
        assert!(long.parse::<WantedBucket>().is_err() && long[1..].parse::<WantedBucket>().is_ok());
    }
}
