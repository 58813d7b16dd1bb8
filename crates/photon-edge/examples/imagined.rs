//! Serves an imagined region (temporary).
#[path = "../tests/region/mod.rs"]
mod region;

#[tokio::main]
async fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let limits = photon_edge::FrontLimits::default();
    let front = region::front(Vec::new(), limits);
    photon_edge::serve(front, listener, Default::default()).await.unwrap();
}
