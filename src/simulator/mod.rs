//! A believable Genesys Cloud for demos and tests. Written from the vendor's published behaviour, never from
//! [`upstream`](crate::upstream), with which it shares no types: two independent spellings check each other.

pub mod organisation;
pub mod refusal;
