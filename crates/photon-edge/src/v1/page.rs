//! Lists in pages.
//! Must not know what is listed.

use crate::names::{self, Invalid};
use crate::v1::types::LIMIT_MAX;

/// How many items a page has when the client does not say.
const LIMIT_DEFAULT: usize = 100;

/// Parses how many items the client wants.
pub(crate) fn limit(text: Option<&str>) -> Result<usize, Invalid> {
    let Some(text) = text else { return Ok(LIMIT_DEFAULT) };
    let limit = names::number("limit", text, 1..=LIMIT_MAX as u64)?;
    Ok(usize::try_from(limit).expect("at most LIMIT_MAX: parsed so"))
}
