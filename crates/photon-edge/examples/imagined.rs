//! Serves a real node (temporary).
#![allow(warnings)]
#[path = "../tests/region/mod.rs"]
mod region;
use photon_node::*;
use photon_region::{Limits, Place};
use photon_state::RegionId;
use std::collections::BTreeMap;

#[tokio::main]
async fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    let dir = std::env::args().nth(2).unwrap();
    let p = Place { latitude: 0.0, longitude: 0.0 };
    let e = RegionId::try_from("eu-west-1").unwrap();
    let node = Node::start(
        NodeConfig {
            data: dir.into(),
            planet: "t".into(),
            region: e,
            regions: BTreeMap::from([(e, p)]),
            placements: BTreeMap::new(),
            limits: Limits::default(),
            segment_bytes: 16 << 20,
            links: LinkConfig {
                listen: "127.0.0.1:0".parse().unwrap(),
                dial: BTreeMap::new(),
                secret: None,
            },
        },
        Default::default(),
    )
    .await
    .unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let front = region::front_of(node.handle(), Vec::new(), photon_edge::FrontLimits::default());
    photon_edge::serve(front, listener, Default::default()).await.unwrap();
}
