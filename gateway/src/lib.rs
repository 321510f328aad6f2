//! Penstock gateway.
