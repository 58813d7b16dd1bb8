//! Which problems an operation may answer with, for the OpenAPI document.
//! Must not know what the problems mean: `problem.rs` has the table.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use crate::problem::PROBLEM_JSON;

macro_rules! problems {
    ($(#[$doc:meta])* $name:ident: $($status:literal $text:literal),+) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                [$(($status, $text)),+].map(problem).into()
            }
        }
    };
}

problems! {
    /// Any operation.
    Always: "400" "A parameter is invalid", "401" "A bearer token is needed",
        "403" "It was meant for another host", "429" "The region is overloaded; try again",
        "503" "The region cannot help at present"
}
problems! {
    /// An operation that takes a body.
    Body: "408" "The body took too long", "413" "Something is too large",
        "415" "The body is not JSON by its header", "422" "A field of the body is invalid"
}
problems! {
    /// An operation on something that may not be there.
    Absent: "404" "There is no such thing"
}
problems! {
    /// An operation that may come too late, or conflict with another.
    Conflict: "409" "It conflicts with the state of things"
}
problems! {
    /// An operation on data, which may be elsewhere, or not as the request has it.
    Data: "409" "It conflicts with the state of things",
        "413" "Something is too large", "421" "The data may not live in this region",
        "422" "It does not fit the dataset"
}
problems! {
    /// A write that may expect something.
    Precondition: "412" "The record is not what the write expects"
}
problems! {
    /// A watcher that may come too late.
    Gone: "410" "The changes after the position are no longer kept"
}
problems! {
    /// An operation that this region may not be allowed to do.
    Misdirected: "421" "The data may not live in this region"
}

fn problem((status, text): (&str, &str)) -> (String, RefOr<Response>) {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new().description(text).content(PROBLEM_JSON, content);
    (status.to_owned(), response.build().into())
}
