//! What is noted beside the truth, for operators or to choose what makes room: it decides nothing that is promised, so two
//! machines that differ in nothing else are the same.

use std::hash::{Hash, Hasher};

/// Equal to every other, whatever is noted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aside<T>(pub(super) T);

impl<T> PartialEq for Aside<T> {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl<T> Eq for Aside<T> {}

impl<T> Hash for Aside<T> {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}
