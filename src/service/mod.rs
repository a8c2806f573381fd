//! The registration authority and its CA.
