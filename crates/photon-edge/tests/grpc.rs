//! What callers of gRPC hear that send what is no message: they are at fault, and nobody else.

use axum::body::Body;
use axum::http::{Request, Version};
use http_body_util::BodyExt;
use photon_edge::FrontLimits;
use tower::ServiceExt;

use crate::region;

/// The number of `INVALID_ARGUMENT`.
const INVALID_ARGUMENT: &str = "3";

async fn check(path: &str, sent: &[u8]) {
    let router = photon_edge::router(region::front(Vec::new(), FrontLimits::default()));
    let request = Request::post(path).version(Version::HTTP_2);
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let answer = router.oneshot(request.body(Body::from(sent.to_vec())).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap();
    let code = head.headers.get("grpc-status");
    let code = code.or_else(|| body.trailers()?.get("grpc-status"));
    assert_eq!(code.unwrap(), INVALID_ARGUMENT, "{path} {sent:?}");
}

#[tokio::test]
async fn who_sends_what_is_no_message_is_at_fault() {
    let no_message = b"\x00\x00\x00\x00\x02\x08\xff";
    let cut_off = b"\x00\x00\x00\x00\x09\x08";
    let oddly_packed = b"\x07\x00\x00\x00\x00";
    let packed_by_nothing = b"\x01\x00\x00\x00\x00";
    for sent in [&no_message[..], cut_off, oddly_packed, packed_by_nothing] {
        check("/photon.v1.Workers/Attach", sent).await;
        check("/photon.v1.Topics/Publish", sent).await;
        check("/photon.v1.Topics/Follow", sent).await;
        check("/lf.a2a.v1.A2AService/GetTask", sent).await;
        check("/lf.a2a.v1.A2AService/SubscribeToTask", sent).await;
    }
    check("/photon.v1.Topics/Publish", b"").await;
    check("/lf.a2a.v1.A2AService/GetTask", b"").await;
}
