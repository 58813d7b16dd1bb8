//! Names and what they stand for: an authoritative server without sockets.
//! Must not read or write anything but the bytes that it is given.

mod answer;
mod edns;
mod name;
mod names;
mod out;
mod plan;
mod query;
mod rdata;
mod route;
mod scan;
pub mod spec;
mod tables;
mod text;
mod tokens;
pub mod wire;
mod zone;

pub use self::answer::{Counts, Responder, STREAM_BYTES_MAX, UDP_BYTES_MAX, Via};
pub use self::name::{NAME_BYTES_MAX, Name, NameError};
pub use self::names::{Alias, Node, RecordSet, Special};
pub use self::plan::{ADDRESSES_MAX, Ground, RouteError, plan};
pub use self::query::{Cookie, Edns, Query, Subnet};
pub use self::rdata::{RdataError, TEXT_BYTES_MAX, parse_type, show, type_name};
pub use self::route::{ANSWERS_MAX, ENDPOINTS_MAX, Endpoint, Family, Mask, Pick, Route};
pub use self::tables::{Addresses, Tables};
pub use self::text::{TextError, ZoneText, write_zone};
pub use self::zone::{Answers, NAME_SERVERS_MAX, RECORDS_MAX, Zone, ZoneError};
