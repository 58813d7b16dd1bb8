//! Agentic Resource Discovery 0.91: the catalog of the planet's agents, and a registry that is
//! searched, counted and listed.
//!
//! The specification is at <https://agenticresourcediscovery.org/spec>.
//! Must not know what an agent is asked for once it is found.

mod asked;
mod catalog;
mod embedder;
mod entry;
mod fault;
mod filter;
mod index;
mod peers;
mod shelf;
mod vectors;
mod words;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use photon_region::{AgentName, Command, Reply, Skill};
use photon_state::PlacementId;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

pub(crate) use self::asked::TEXT_BYTES_MAX;
use self::asked::{Explore, Federation, List, Search, page_token};
pub use self::embedder::ArdEmbedder;
use self::embedder::Embedder;
pub use self::entry::is_publisher;
use self::entry::{Field, Imprint, Local};
use self::fault::Fault;
use self::filter::Filter;
use self::index::Query;
pub use self::peers::ArdRegistry;
use self::peers::Peers;
use self::shelf::{Direction, Order, Shelf};
use self::vectors::Sense;
use crate::front::Failure;
use crate::liveness::Unheard;
use crate::{Front, body};

impl ArdConfig {
    /// Publishes under a domain, and asks nobody along.
    #[must_use]
    pub fn alone(publisher: &str) -> Self {
        Self { publisher: publisher.to_owned(), registries: Vec::new(), embedder: None }
    }
}

/// What a planet's registry must be told.
#[derive(Clone, Debug)]
pub struct ArdConfig {
    /// The domain that publishes the planet's agents, in the names of all of them.
    pub publisher: String,
    /// Other registries that are asked along.
    pub registries: Vec<ArdRegistry>,
    /// Who says what texts mean; they are compared by their words alone if there is none.
    pub embedder: Option<ArdEmbedder>,
}

/// The registry of a region: its agents as they are searched, and the other registries.
#[derive(Debug)]
pub(crate) struct Registry {
    publisher: String,
    peers: Peers,
    shelf: Arc<RwLock<Shelf>>,
    /// One at a time asks the region what has changed.
    refreshing: Arc<Mutex<()>>,
    places: Arc<Semaphore>,
    embedder: Option<Arc<Embedder>>,
    /// One at a time asks for the vectors of texts.
    embedding: Arc<Mutex<()>>,
}

impl Registry {
    /// Searches at the same time; more are refused.
    const SEARCHES_MAX: usize = 64;
    /// Texts whose vectors are asked for at once.
    const TEXTS_MAX: usize = 64;
    /// Agents that the region is asked for at once.
    const CHANGES_MAX: usize = 1_000;

    pub(crate) fn new(config: &ArdConfig) -> Self {
        Self {
            publisher: config.publisher.clone(),
            peers: Peers::new(config.registries.clone()),
            shelf: Arc::default(),
            refreshing: Arc::default(),
            places: Arc::new(Semaphore::new(Self::SEARCHES_MAX)),
            embedder: config.embedder.clone().map(|it| Arc::new(Embedder::new(it))),
            embedding: Arc::default(),
        }
    }

    /// Does something with all agents that the region knows at this moment, on a thread where it
    /// may take its time.
    async fn with<T: Send + 'static>(
        &self,
        front: &Front,
        place: Place,
        work: impl FnOnce(&Shelf) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        self.refresh(front).await?;
        self.embed(front);
        let shelf = Arc::clone(&self.shelf);
        let work = move || {
            let _place = place; // Whoever asked may be gone; the work is not.
            work(&shelf.read().unwrap_or_else(PoisonError::into_inner))
        };
        let done = front.tasks().spawn_blocking(work).await;
        done.map_err(|_| Fault::from(Failure::Stopping))
    }

    fn local(&self, front: &Front) -> Local {
        Local { publisher: self.publisher.clone(), unheard: Unheard::of(&front.view()) }
    }

    /// Returns what a query means, if there is somebody who knows.
    async fn sense(&self, query: &str) -> Option<Sense> {
        self.embedder.as_ref()?.sense(query).await
    }

    /// Asks for the vectors of texts that have none, beside everything else: until they are there
    /// texts are found by their words.
    fn embed(&self, front: &Front) {
        let Some(embedder) = self.embedder.clone() else { return };
        let lacks = |shelf: &Shelf| shelf.lacks_vectors();
        if !lacks(&self.shelf.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let Ok(turn) = Arc::clone(&self.embedding).try_lock_owned() else { return };
        let (shelf, stopping) = (Arc::clone(&self.shelf), front.stopping().clone());
        let tasks = front.tasks().clone();
        let embedding = async move {
            let _turn = turn;
            loop {
                let without = |shelf: &Shelf| shelf.without_vectors(Self::TEXTS_MAX);
                let texts = without(&shelf.read().unwrap_or_else(PoisonError::into_inner));
                let asked: Vec<&str> = texts.iter().map(String::as_str).collect();
                if asked.is_empty() {
                    return;
                }
                // The next search tries again.
                let Some(vectors) = embedder.vectors(&asked).await else { return };
                let shelf = Arc::clone(&shelf);
                let set = move || {
                    let mut shelf = shelf.write().unwrap_or_else(PoisonError::into_inner);
                    shelf.set_vectors(&texts, &vectors);
                };
                if tasks.spawn_blocking(set).await.is_err() {
                    return;
                }
            }
        };
        front.tasks().spawn(async move { stopping.run_until_cancelled(embedding).await });
    }

    /// Takes a place among those who search.
    fn place(&self) -> Result<Place, Fault> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Fault::busy(format!("{} searches are under way; try again", Self::SEARCHES_MAX))
        })
    }

    async fn refresh(&self, front: &Front) -> Result<(), Fault> {
        loop {
            let turn = Arc::clone(&self.refreshing).lock_owned().await;
            let after = self.shelf.read().unwrap_or_else(PoisonError::into_inner).upto();
            let command = Command::AgentChanges { after, limit: Self::CHANGES_MAX };
            let Reply::AgentChanges { changes, upto, is_anew } = front.submit(command).await?
            else {
                unreachable!("the region answers `AgentChanges` with changes")
            };
            if changes.is_empty() && !is_anew {
                return Ok(());
            }
            let is_last = changes.len() < Self::CHANGES_MAX;
            let shelf = Arc::clone(&self.shelf);
            let take_in = move || {
                let _turn = turn; // Nobody else asks until it is taken in.
                let mut shelf = shelf.write().unwrap_or_else(PoisonError::into_inner);
                shelf.take_in(changes, upto, is_anew);
            };
            let done = front.tasks().spawn_blocking(take_in).await;
            done.map_err(|_| Fault::from(Failure::Stopping))?;
            if is_last {
                return Ok(());
            }
        }
    }
}

/// Of how many agents that fit a text one is chosen whom tasks of a placement may name.
const BEST_OF: usize = 100;

/// The right to search.
type Place = OwnedSemaphorePermit;

/// Returns the agents that fit a text best, of a skill and a region if these are named.
pub(crate) async fn fitting(
    front: &Front,
    (text, skill, region): (String, Option<String>, Option<String>),
    limit: usize,
) -> Result<Vec<AgentName>, Fault> {
    let wanted = [(Field::Capabilities, skill), (Field::Region, region)];
    let filter = Filter::only(wanted.into_iter().filter_map(|(field, it)| Some((field, it?))));
    let sense = front.ard().sense(&text).await;
    let local = front.ard().local(front);
    let found = front.ard().with(front, front.ard().place()?, move |shelf| {
        let query = Query { text: &text, sense: sense.as_ref() };
        let found = shelf.search((query, &filter, &local), 0, limit);
        found.items.iter().map(|it| it.doc.agent.spec.name.clone()).collect()
    });
    found.await
}

/// Returns the agent that fits a text best, of those that tasks of a placement may name if there is
/// one, and which of its skills does; no skill if it is found by what it is.
pub(crate) async fn best(
    front: &Front,
    text: String,
    placement: PlacementId,
) -> Result<Option<(AgentName, Option<Skill>)>, Fault> {
    let members = |it| front.planet().placements.get(&it).cloned().unwrap_or_default();
    let wanted = members(placement);
    let all = front.planet().placements.keys().copied();
    let wide: HashSet<PlacementId> = all
        .filter(|it| wanted.iter().all(|region| members(*it).contains(region)))
        .chain([placement])
        .collect();
    // Who knows what texts mean may be anywhere: what may not be everywhere is not shown to it.
    let sense = match placement == PlacementId::global() {
        true => front.ard().sense(&text).await,
        false => None,
    };
    let local = front.ard().local(front);
    let found = front.ard().with(front, front.ard().place()?, move |shelf| {
        let query = Query { text: &text, sense: sense.as_ref() };
        let found = shelf.search((query, &Filter::default(), &local), 0, BEST_OF).items;
        let may = |it: &&shelf::Hit<'_>| wide.contains(&it.doc.agent.spec.placement);
        let best = found.iter().find(may).or(found.first())?;
        // Who is away is asked only if nobody else fits about as well.
        let lives = |it: &&shelf::Hit<'_>| {
            may(it) && it.doc.agent.is_online && best.score <= it.score.saturating_mul(2)
        };
        let name = &found.iter().find(lives).unwrap_or(best).doc.agent.spec.name;
        Some((name.clone(), shelf.best_skill(query, name)))
    });
    found.await
}

/// Returns the routes of the catalog and of the registry.
pub(crate) fn router() -> Router<Front> {
    Router::new()
        .route("/.well-known/ard.json", get(catalog::show).options(preflight))
        .route("/.well-known/ai-catalog.json", get(catalog::show).options(preflight))
        .route("/robots.txt", get(catalog::robots))
        .route("/ard/search", post(search).options(preflight))
        .route("/ard/explore", post(explore).options(preflight))
        .route("/ard/agents", get(list).options(preflight))
        .layer(from_fn(share))
}

/// Lets pages of other hosts read what is answered (CORS).
async fn share(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, if-none-match"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "etag, link"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Answers what browsers ask before they send anything: the headers say all.
async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn search(State(front): State<Front>, request: Request) -> Result<Response, Fault> {
    let base = catalog::base_of(&front, &request);
    let (query, asked) = Search::read(&read(&front, request).await?)?;
    let (federation, page_size) = (asked.federation, asked.page.size);
    let asks_along = federation == Federation::Auto && asked.page.skip == 0;
    // What the query means is found out before it takes a place: others may be slow to say.
    let sense = front.ard().sense(&asked.text).await;
    let place = front.ard().place()?; // Others are asked along only with one.
    let others = async {
        match asks_along {
            true => front.ard().peers.search(&query, page_size).await,
            false => Vec::new(),
        }
    };
    let (here, others) = tokio::join!(search_here(&front, place, (asked, sense), base), others);
    let (results, next) = here?;
    let mut answer = json!({"results": merge(results, others)});
    if federation == Federation::Referrals {
        answer["referrals"] = front.ard().peers.referrals().into();
    }
    if let Some(next) = next {
        answer["pageToken"] = next.into();
    }
    Ok(axum::Json(answer).into_response())
}

/// Returns a page of what is found here, and the token of the next one.
async fn search_here(
    front: &Front,
    place: Place,
    (asked, sense): (Search, Option<Sense>),
    base: String,
) -> Result<(Vec<Value>, Option<String>), Fault> {
    let Search { text, filter, federation: _, page } = asked;
    let local = front.ard().local(front);
    let found = front.ard().with(front, place, move |shelf| {
        let query = Query { text: &text, sense: sense.as_ref() };
        let found = shelf.search((query, &filter, &local), page.skip, page.size);
        let imprint = Imprint { local: &local, base: &base };
        let entry = |it: &shelf::Hit<'_>| {
            let mut entry = imprint.entry(&it.doc.agent);
            entry["score"] = it.score.into();
            entry["source"] = imprint.registry().into();
            entry
        };
        let next = page_token(page.skip + found.items.len(), found.total);
        (found.items.iter().map(entry).collect(), next)
    });
    found.await
}

/// Puts what others found among what was found here, the best first; of what has one name, what
/// was found here.
fn merge(here: Vec<Value>, others: Vec<Value>) -> Vec<Value> {
    if others.is_empty() {
        return here;
    }
    let name = |it: &Value| it["identifier"].as_str().unwrap_or_default().to_owned();
    let mut known = HashSet::new();
    let mut all: Vec<Value> =
        here.into_iter().chain(others).filter(|it| known.insert(name(it))).collect();
    all.sort_by_key(|it| std::cmp::Reverse(it["score"].as_u64()));
    all
}

/// Returns the first agents by name, as entries.
async fn first_entries(front: &Front, base: &str, limit: usize) -> Result<Vec<Value>, Fault> {
    let (local, base) = (front.ard().local(front), base.to_owned());
    let entries = front.ard().with(front, front.ard().place()?, move |shelf| {
        let order = (Order::Identifier, Direction::Up);
        let found = shelf.list((&Filter::default(), &local), order, (0, limit));
        let imprint = Imprint { local: &local, base: &base };
        found.items.iter().map(|it| imprint.entry(&it.agent)).collect()
    });
    entries.await
}

async fn explore(State(front): State<Front>, request: Request) -> Result<Response, Fault> {
    let asked = Explore::read(&read(&front, request).await?)?;
    let sense = match &asked.text {
        Some(text) => front.ard().sense(text).await,
        None => None,
    };
    let (local, place) = (front.ard().local(&front), front.ard().place()?);
    let facets = front.ard().with(&front, place, move |shelf| {
        let fields: Vec<_> = asked.facets.iter().map(|it| it.field).collect();
        let query = asked.text.as_deref().map(|text| Query { text, sense: sense.as_ref() });
        let counts = shelf.count((query, &asked.filter, &local), &fields);
        let facets = asked.facets.iter().zip(counts);
        let facets = facets.map(|(facet, counts)| (facet.path.clone(), facet.show(counts)));
        facets.collect::<serde_json::Map<String, Value>>()
    });
    let answer = json!({"resultType": "facets", "facets": facets.await?});
    Ok(axum::Json(answer).into_response())
}

async fn list(
    State(front): State<Front>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Fault> {
    let asked = List::read(query.as_deref().unwrap_or_default())?;
    let base = catalog::base_of(&front, &request);
    let (local, place) = (front.ard().local(&front), front.ard().place()?);
    let answer = front.ard().with(&front, place, move |shelf| {
        let List { filter, order, page } = asked;
        let found = shelf.list((&filter, &local), order, (page.skip, page.size));
        let imprint = Imprint { local: &local, base: &base };
        let items: Vec<Value> = found.items.iter().map(|it| imprint.entry(&it.agent)).collect();
        let mut answer = json!({"items": items, "total": found.total});
        if let Some(next) = page_token(page.skip + items.len(), found.total) {
            answer["pageToken"] = next.into();
        }
        answer
    });
    Ok(axum::Json(answer.await?).into_response())
}

async fn read(front: &Front, request: Request) -> Result<body::Held, Fault> {
    let (parts, body) = request.into_parts();
    Ok(body::read(front, &parts.headers, body).await?)
}
