//! Placeholder.

/// Placeholder.
#[derive(Clone, Debug, Default)]
pub struct FaultScript {}

/// Placeholder.
#[derive(Debug, thiserror::Error)]
#[error("placeholder")]
pub struct ScriptError;

impl FaultScript {
    /// Placeholder.
    pub fn from_toml_str(_text: &str) -> Result<Self, ScriptError> {
        Ok(Self {})
    }

    /// Placeholder.
    pub fn from_json_str(_text: &str) -> Result<Self, ScriptError> {
        Ok(Self {})
    }
}
