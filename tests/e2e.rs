//! All tests of the binary, with real processes, as one program: it is compiled and linked once.
//! Must not hold tests itself.

mod bad_input;
mod chaos;
mod data_chaos;
mod e2e_a2a;
mod e2e_acp;
mod e2e_ard;
mod e2e_bad_input;
mod e2e_chaos;
mod e2e_clients_js;
mod e2e_clients_rust;
mod e2e_data;
mod e2e_data_chaos;
mod e2e_drill;
mod e2e_followers;
mod e2e_govern;
mod e2e_grpc;
mod e2e_import;
mod e2e_mcp;
mod e2e_openapi;
mod e2e_sdk;
mod e2e_story;
mod e2e_topics;
mod harness;
