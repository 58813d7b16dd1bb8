//! An unmodified A2A client from PyPI sends work to an agent in another region.
//! Must not speak A2A itself: that is for `a2a_client.py`.

use std::time::Duration;

use crate::harness::{Planet, PlanetOptions, Wan, beside, python, run, say};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_client_works_with_an_agent_in_another_region() {
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let _shout = planet.agent("shout", "text.upper", "eu-west-1", &["tr", "a-z", "A-Z"]).await;
    let _slow = planet.agent("slow", "sh.slow", "eu-west-1", &["sleep", "600"]).await;
    for binding in ["jsonrpc", "rest", "grpc"] {
        let mut client = python("python").await;
        client.arg(beside("a2a_client.py")).arg(planet.url("ap-southeast-1")).arg(binding);
        let said = run(client, PATIENCE).await.ok();
        assert_eq!(said.trim(), format!("all promises are kept over {binding}"));
        say(&said);
    }
}
