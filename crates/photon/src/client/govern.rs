//! What is asked of all regions together.
//! Must not try again: callers know how long that makes sense.

use std::time::Duration;

use photon_edge::v1::types::{MemberPost, Planet, VotersPut};
use reqwest::Method;

use super::{Client, ClientError};

impl Client {
    /// Shows what all regions agree on.
    pub async fn planet(&self) -> Result<Planet, ClientError> {
        self.call(self.request(Method::GET, &["v1", "planet"]), Duration::ZERO).await
    }

    /// Makes a region a member.
    pub async fn add_member(&self, member: &MemberPost) -> Result<Planet, ClientError> {
        let request = self.request(Method::POST, &["v1", "planet", "members"]).json(member);
        self.call(request, Duration::ZERO).await
    }

    /// Removes a member.
    pub async fn remove_member(&self, name: &str, force: bool) -> Result<Planet, ClientError> {
        let request = self.request(Method::DELETE, &["v1", "planet", "members", name]);
        self.call(request.query(&[("force", force)]), Duration::ZERO).await
    }

    /// Gives the homes of a member to others.
    pub async fn drain(&self, name: &str, force: bool) -> Result<Planet, ClientError> {
        let request = self.request(Method::PUT, &["v1", "planet", "members", name, "drain"]);
        self.call(request.query(&[("force", force)]), Duration::ZERO).await
    }

    /// Lets a member be the home of tasks again.
    pub async fn undrain(&self, name: &str) -> Result<Planet, ClientError> {
        let path = ["v1", "planet", "members", name, "drain"];
        self.call(self.request(Method::DELETE, &path), Duration::ZERO).await
    }

    /// Agrees on the placements as the region that leads has them configured.
    pub async fn adopt(&self) -> Result<Planet, ClientError> {
        self.call(self.request(Method::POST, &["v1", "planet", "adopt"]), Duration::ZERO).await
    }

    /// Spreads the homes evenly.
    pub async fn rebalance(&self) -> Result<Planet, ClientError> {
        self.call(self.request(Method::POST, &["v1", "planet", "rebalance"]), Duration::ZERO).await
    }

    /// Says who votes.
    pub async fn put_voters(&self, voters: &VotersPut) -> Result<Planet, ClientError> {
        let request = self.request(Method::PUT, &["v1", "planet", "voters"]).json(voters);
        self.call(request, Duration::ZERO).await
    }
}
