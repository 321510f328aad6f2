//! Which lists count in a bucket, and what its settings leave of them.

use super::{Acl, Owner, Permission};
use crate::head::{DeleteMarker, Facts, Head, ObjectOwnership};

impl Facts {
    /// Whether the bucket's list gives `wanted` to `asker` (`None`: an anonymous caller), as far as the bucket lets
    /// lists count.
    #[must_use]
    pub fn acl_gives(&self, asker: Option<&str>, wanted: Permission) -> bool {
        self.lets_give(&self.acl(), asker, wanted)
    }

    /// The same of the list of an object in this bucket.
    #[must_use]
    pub fn object_acl_gives(&self, head: &Head, asker: Option<&str>, wanted: Permission) -> bool {
        self.lets_give(&self.object_acl(head), asker, wanted)
    }

    /// The bucket's list; with `BucketOwnerEnforced` its owner's full control, whatever the list says.
    #[must_use]
    pub fn acl(&self) -> Acl {
        match self.object_ownership() {
            ObjectOwnership::BucketOwnerEnforced => Acl::private(self.owner()),
            ObjectOwnership::BucketOwnerPreferred | ObjectOwnership::ObjectWriter => {
                self.acl.clone().unwrap_or_else(|| Acl::private(self.owner()))
            }
        }
    }

    /// The list of an object in this bucket; with `BucketOwnerEnforced` the bucket owner's full control.
    #[must_use]
    pub fn object_acl(&self, head: &Head) -> Acl {
        match self.object_ownership() {
            ObjectOwnership::BucketOwnerEnforced => Acl::private(self.owner()),
            ObjectOwnership::BucketOwnerPreferred | ObjectOwnership::ObjectWriter => {
                head.acl.clone().unwrap_or_else(|| Acl::private(self.object_owner(head)))
            }
        }
    }

    /// Who owns an object in this bucket: whoever wrote it, or the bucket's owner where that is enforced.
    #[must_use]
    pub fn object_owner(&self, head: &Head) -> Owner {
        self.writer(head.owner.as_ref())
    }

    /// The same of a delete marker: whoever deleted.
    #[must_use]
    pub fn marker_owner(&self, marker: &DeleteMarker) -> Owner {
        self.writer(marker.owner.as_ref())
    }

    fn writer(&self, writer: Option<&Owner>) -> Owner {
        match (self.object_ownership(), writer) {
            (ObjectOwnership::BucketOwnerEnforced, _) | (_, None) => self.owner(),
            (ObjectOwnership::BucketOwnerPreferred | ObjectOwnership::ObjectWriter, Some(writer)) => {
                writer.clone()
            }
        }
    }

    fn lets_give(&self, acl: &Acl, asker: Option<&str>, wanted: Permission) -> bool {
        if self.blocks().ignore_public_acls {
            acl.gives_privately(asker, wanted)
        } else {
            acl.gives(asker, wanted)
        }
    }
}
