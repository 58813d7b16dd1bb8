//! A2A 1.0.

use axum::Router;

use crate::Front;

/// Returns the routes of A2A.
pub(crate) fn router() -> Router<Front> {
    Router::new()
}
