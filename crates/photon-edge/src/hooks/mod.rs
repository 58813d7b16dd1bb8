//! How webhooks are reached: which addresses may be, and one post to one of them.
//! Must not know what is posted, nor when.

mod guard;
mod post;

pub use guard::PushTargets;
pub(crate) use post::{HttpClient, Parcel, Poster, http_client, key_of};
