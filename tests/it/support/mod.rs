//! What every test stands on.

pub(crate) mod browser;
pub(crate) mod platform;
pub(crate) mod schemas;
pub(crate) mod service;
pub(crate) mod watch;
