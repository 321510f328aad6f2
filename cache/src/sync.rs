//! Locking as this crate does it: short, never across an await, and not afraid of a panicked holder.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. What our locks guard is changed in single steps that do not panic half-way, so a poisoned lock is
/// as good as any other.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
