//! A region that cases are put to: many share one, since to make one takes far longer than to ask.
//! Must not know what a right answer is.

use std::cell::RefCell;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

use crate::answers::{self, Asked};
use crate::case::Table;
use crate::driver;
use crate::known::Known;

/// Cases that share a region.
const CASES_OF_A_REGION: u32 = 500;

/// Where it is set, what is asked and answered is shown.
const SHOWN: &str = "PHOTON_FUZZ_SHOW";

/// A request in whole: method, path, and JSON.
pub type Whole = (&'static str, &'static str, &'static str);

/// What is put to a region.
#[derive(Debug)]
pub struct Target {
    /// What may be asked for.
    pub table: Table,
    /// What a new region is asked before all cases.
    pub first: &'static [Whole],
    /// And what before each.
    pub each: &'static [Whole],
}

/// A region and what it has answered. Its time passes only while it has nothing to do.
struct World {
    runtime: Runtime,
    router: Router,
    known: Known,
    cases: u32,
}

impl World {
    fn new(target: &Target) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("there is memory");
        let (router, known) = runtime.block_on(async {
            let (router, mut known) = (driver::routes(), Known::default());
            for request in target.first {
                prepare(&router, &mut known, request).await;
            }
            (router, known)
        });
        Self { runtime, router, known, cases: 0 }
    }

    fn put(&mut self, target: &Target, case: &[u8]) {
        self.cases += 1;
        let (router, known) = (&self.router, &mut self.known);
        self.runtime.block_on(async {
            known.begin();
            for request in target.each {
                prepare(router, known, request).await;
            }
            for bytes in target.table.requests(case) {
                if let Some(request) = target.table.request(bytes, known) {
                    put(router, known, request).await;
                }
            }
            prepare(router, &mut Known::default(), &("GET", "/v1/datasets", "")).await;
        });
    }
}

async fn put(router: &Router, known: &mut Known, request: Request<Body>) -> StatusCode {
    let asked = Asked::of(&request);
    let answer = answers::within(&asked, router.clone().oneshot(request)).await;
    let Ok(answer) = answer;
    let status = answer.status();
    let (headers, body) = answers::check(&asked, answer).await;
    known.hear(&headers, &body);
    if std::env::var_os(SHOWN).is_some() {
        eprintln!("{} {status} {}", asked.what(), String::from_utf8_lossy(&body));
    }
    status
}

/// Asks what is answered with success.
async fn prepare(router: &Router, known: &mut Known, (method, path, json): &Whole) {
    let request = Request::builder().method(*method).uri(*path).header("host", "localhost");
    let request = request.header("content-type", "application/json").body(Body::from(*json));
    let status = put(router, known, request.expect("it is one")).await;
    assert!(status.is_success(), "{method} {path}: {status}");
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Puts a case to a region, and looks whether it answers the next.
pub fn put_case(target: &Target, case: &[u8]) {
    WORLD.with_borrow_mut(|world| {
        let world = match world {
            Some(world) if world.cases < CASES_OF_A_REGION => world,
            Some(_) | None => world.insert(World::new(target)),
        };
        world.put(target, case);
    });
}
