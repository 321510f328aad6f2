//! What is noted beside the truth, for operators, to choose what makes room, or to number what comes next: it decides nothing
//! that is promised, so two machines that differ in nothing else are the same. Of numbers that count up that is so because
//! each is larger than all that are still under way, here, at the other end or in between, whatever the last one was.

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
