//! The package `ard-publish` finds nothing wrong with a planet's catalog and registry.
//! Must not speak ARD itself: that is for `ard_client.py`.

use std::time::Duration;

use crate::harness::{Planet, PlanetOptions, Wan, beside, python, run, say};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_found_through_any_region_by_a_registry_that_is_valid() {
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let _shout = planet.agent("shout", "text.upper", "eu-west-1", &["tr", "a-z", "A-Z"]).await;
    let _slow = planet.agent("slow", "sh.slow", "us-east-1", &["sleep", "600"]).await;
    for region in ["ap-southeast-1", "eu-west-1"] {
        let mut client = python("python").await;
        client.arg(beside("ard_client.py")).arg(planet.url(region));
        let said = run(client, PATIENCE).await.ok();
        assert!(said.starts_with("all promises are kept"), "{said}");
        say(&said);
    }
}
