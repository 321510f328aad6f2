//! Places that tenants share.
//!
//! Places are never kept free for somebody who does not ask: one tenant alone has them all, but for places that are
//! [held for long](Fair::held_long). When several wait, the most
//! urgent goes first, and among equals the tenant that holds least for its weight; of one tenant, whoever came first.
//! Where places come back soon, each tenant's part settles at its share however many it has in line. Those of blocks filled
//! ahead come back when their reader has passed them or goes away, or has not come for a while: readers that stall, of
//! one tenant or of many, keep nobody from reading ahead for longer than that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::sync::lock;
use crate::tenant::{Tenant, Weights};

/// Who goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Urgency {
    /// Nobody waits for it. It gets no more than a part of all places.
    Background,
    /// A reader will come to it.
    Ahead,
    /// A reader waits for it.
    Demand,
}

/// A number of places.
pub(crate) struct Fair {
    places_count: usize,
    /// The most that one tenant holds of them while it waits for more.
    tenant_max: usize,
    weights: Arc<Weights>,
    state: Mutex<State>,
}

struct State {
    free_count: usize,
    /// Of the free ones, those that [`Urgency::Background`] may take.
    background_free_count: usize,
    /// Tenants that hold places.
    held: HashMap<Tenant, usize>,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
}

#[derive(Clone, Copy)]
struct Wanted {
    tenant: Tenant,
    count: usize,
    urgency: Urgency,
}

struct Waiting {
    wanted: Wanted,
    granted: oneshot::Sender<Place>,
}

/// Places taken, until this is dropped.
pub(crate) struct Place {
    fair: Arc<Fair>,
    wanted: Wanted,
}

impl Fair {
    /// So many places, of which [`Urgency::Background`] gets at most `background_max`.
    pub(crate) fn new(places_count: usize, background_max: usize, weights: Arc<Weights>) -> Arc<Self> {
        Arc::new(Self::of(places_count, places_count, background_max, weights))
    }

    /// So many places that are held for as long as a client takes: one tenant gets at most three quarters of them, because
    /// they do not come back soon for others.
    pub(crate) fn held_long(places_count: usize, weights: Arc<Weights>) -> Arc<Self> {
        Arc::new(Self::of(places_count, (places_count * 3).div_ceil(4), 0, weights))
    }

    fn of(places_count: usize, tenant_max: usize, background_max: usize, weights: Arc<Weights>) -> Self {
        let state = State {
            free_count: places_count,
            background_free_count: background_max,
            held: HashMap::new(),
            waiting: Vec::new(),
        };
        Self { places_count, tenant_max, weights, state: Mutex::new(state) }
    }

    pub(crate) fn held_count(&self) -> usize {
        self.places_count - lock(&self.state).free_count
    }

    /// Waits for `count` places, of which there must be as many. Dropping the future leaves the line.
    pub(crate) async fn take(self: &Arc<Self>, tenant: Tenant, count: usize, urgency: Urgency) -> Place {
        let (granted, place) = oneshot::channel();
        let wanted = Wanted { tenant, count, urgency };
        lock(&self.state).waiting.push(Waiting { wanted, granted });
        self.serve();
        place.await.expect("whoever waits stays in line until it is served")
    }

    /// `count` places for reading ahead, if `spare_count` are left after them, nobody waits but in the background, and
    /// `tenant` has no more than its share then. A share is what is left to a tenant when all that hold places want more.
    pub(crate) fn try_take_ahead(
        self: &Arc<Self>,
        tenant: Tenant,
        count: usize,
        spare_count: usize,
    ) -> Option<Place> {
        let mut state = lock(&self.state);
        if state.is_waited_for() || state.free_count < count + spare_count {
            return None;
        }
        let weight = u64::from(self.weights.of(tenant));
        let others: u64 = state
            .held
            .keys()
            .filter(|other| **other != tenant)
            .map(|other| u64::from(self.weights.of(*other)))
            .sum();
        let held = state.held.get(&tenant).copied().unwrap_or(0);
        let share = self.places_count as u64 * weight / (weight + others);
        if held > 0 && (held + count) as u64 > share {
            return None;
        }
        let wanted = Wanted { tenant, count, urgency: Urgency::Ahead };
        state.grant(wanted);
        Some(Place { fair: self.clone(), wanted })
    }

    /// Gives free places to those who wait.
    fn serve(self: &Arc<Self>) {
        loop {
            let Some((granted, wanted)) = lock(&self.state).next(&self.weights, self.tenant_max) else {
                return;
            };
            // Outside of the lock: whoever has left meanwhile gives its places back here.
            let _ = granted.send(Place { fair: self.clone(), wanted });
        }
    }
}

impl State {
    /// Whether somebody is in line for whom reading ahead stands back. What nobody waits for is not: mostly it waits for
    /// its own part of the places.
    fn is_waited_for(&self) -> bool {
        let stands = |waiting: &Waiting| !waiting.granted.is_closed();
        self.waiting.iter().any(|waiting| waiting.wanted.urgency != Urgency::Background && stands(waiting))
    }

    /// Takes the next out of the line, if there are places for it.
    fn next(&mut self, weights: &Weights, tenant_max: usize) -> Option<(oneshot::Sender<Place>, Wanted)> {
        self.waiting.retain(|waiting| !waiting.granted.is_closed());
        let held_count = |wanted: &Wanted| self.held.get(&wanted.tenant).copied().unwrap_or(0);
        let held = |wanted: &Wanted| held_count(wanted) as f64 / f64::from(weights.of(wanted.tenant));
        let may = |wanted: &Wanted| {
            let background = wanted.urgency == Urgency::Background;
            held_count(wanted) + wanted.count <= tenant_max
                && (!background || wanted.count <= self.background_free_count)
        };
        let (at, _) = self.waiting.iter().enumerate().filter(|(_, waiting)| may(&waiting.wanted)).min_by(
            |(_, one), (_, other)| {
                let by_urgency = other.wanted.urgency.cmp(&one.wanted.urgency);
                by_urgency.then(held(&one.wanted).total_cmp(&held(&other.wanted)))
            },
        )?;
        // Nobody who wants fewer overtakes: many small ones would keep it waiting for ever.
        if self.waiting[at].wanted.count > self.free_count {
            return None;
        }
        let Waiting { wanted, granted } = self.waiting.remove(at);
        self.grant(wanted);
        Some((granted, wanted))
    }

    fn grant(&mut self, wanted: Wanted) {
        self.free_count -= wanted.count;
        if wanted.urgency == Urgency::Background {
            self.background_free_count -= wanted.count;
        }
        *self.held.entry(wanted.tenant).or_default() += wanted.count;
    }

    fn give_back(&mut self, wanted: Wanted) {
        self.free_count += wanted.count;
        if wanted.urgency == Urgency::Background {
            self.background_free_count += wanted.count;
        }
        if let Some(held) = self.held.get_mut(&wanted.tenant) {
            *held -= wanted.count;
            if *held == 0 {
                self.held.remove(&wanted.tenant);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.fair.state).give_back(self.wanted);
        self.fair.serve();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::FutureExt as _;
    use futures::future::BoxFuture;

    use super::*;

    fn fair(places_count: usize) -> Arc<Fair> {
        let weights = Weights::new(&BTreeMap::from([("farm".to_owned(), 3)]));
        Fair::new(places_count, places_count / 2, Arc::new(weights))
    }

    fn asks(fair: &Arc<Fair>, tenant: &str, urgency: Urgency) -> BoxFuture<'static, Place> {
        let (fair, tenant) = (fair.clone(), Tenant::named(tenant));
        let mut asked = async move { fair.take(tenant, 1, urgency).await }.boxed();
        assert!((&mut asked).now_or_never().is_none(), "there is a place");
        asked
    }

    fn takes(fair: &Arc<Fair>, tenant: &str) -> Place {
        fair.take(Tenant::named(tenant), 1, Urgency::Demand).now_or_never().expect("a place")
    }

    /// Serves places one after another, each given back by `lab`, and says who got them.
    fn served(
        held: Vec<Place>,
        mut line: Vec<(&'static str, BoxFuture<'static, Place>)>,
    ) -> Vec<&'static str> {
        let (mut order, mut kept) = (Vec::new(), Vec::new());
        for place in held {
            drop(place);
            for (name, asked) in &mut line {
                if let Some(place) = asked.now_or_never() {
                    order.push(*name);
                    kept.push(place);
                    *asked = futures::future::pending().boxed();
                }
            }
        }
        order
    }

    /// Who came a hundred times does not stand before who came once.
    #[test]
    fn a_tenant_with_many_in_line_does_not_starve_another() {
        let fair = fair(4);
        let held: Vec<_> = (0..4).map(|_| takes(&fair, "lab")).collect();
        let mut line: Vec<_> = (0..100).map(|_| ("lab", asks(&fair, "lab", Urgency::Demand))).collect();
        line.push(("shop", asks(&fair, "shop", Urgency::Demand)));
        line.push(("shop", asks(&fair, "shop", Urgency::Demand)));
        assert_eq!(served(held, line), ["shop", "shop", "lab", "lab"]);
    }

    /// Three to one, where all want more than there is.
    #[test]
    fn places_are_shared_by_weight() {
        let fair = fair(8);
        let held: Vec<_> = (0..8).map(|_| takes(&fair, "lab")).collect();
        let line =
            (0..20).flat_map(|_| ["shop", "farm"].map(|name| (name, asks(&fair, name, Urgency::Demand))));
        let line = line.collect();
        let order = served(held, line);
        assert_eq!(order.iter().filter(|name| **name == "farm").count(), 6, "{order:?}");
        assert_eq!(order.len(), 8);
    }

    /// Whoever waits for a block goes before what is read ahead, and that before pre-stages, whoever holds less.
    #[test]
    fn demand_goes_before_prefetch() {
        let fair = fair(3);
        let held: Vec<_> = (0..3).map(|_| takes(&fair, "lab")).collect();
        let line = vec![
            ("prestage", asks(&fair, "shop", Urgency::Background)),
            ("ahead", asks(&fair, "shop", Urgency::Ahead)),
            ("demand", asks(&fair, "lab", Urgency::Demand)),
        ];
        assert_eq!(served(held, line), ["demand", "ahead", "prestage"]);
    }

    /// What nobody waits for has its part of the places, and stands in nobody's way.
    #[test]
    fn background_has_its_part_of_the_places() {
        let fair = fair(4);
        let lab = Tenant::named("lab");
        let take = || fair.take(lab, 1, Urgency::Background).now_or_never();
        let _held = [take().expect("a place"), take().expect("a place")];
        let waits = asks(&fair, "lab", Urgency::Background);
        let _demand = [takes(&fair, "lab"), takes(&fair, "lab")];
        drop(waits);
        assert_eq!(fair.held_count(), 4);
    }

    /// Reading ahead takes what nobody needs: alone all of it, beside another its share.
    #[test]
    fn reading_ahead_takes_its_share() {
        let fair = fair(8);
        let ahead = |name: &str| fair.try_take_ahead(Tenant::named(name), 1, 0);
        let mut alone: Vec<_> = (0..8).map(|_| ahead("lab").expect("all are free")).collect();
        alone.truncate(2);
        let _beside: Vec<_> = (0..4).map(|_| ahead("shop").expect("its half")).collect();
        assert!(ahead("shop").is_none());
        assert!(ahead("lab").is_some());
        assert!(fair.try_take_ahead(Tenant::named("lab"), 1, 2).is_none(), "two are free");
    }

    /// Pre-stages that wait for their own part of the places do not keep readers from reading ahead, nor does a reader
    /// that has left the line; one that stands there does.
    #[test]
    fn reading_ahead_stands_back_for_readers_alone() {
        let fair = fair(8);
        let lab = Tenant::named("lab");
        let stage = || fair.take(lab, 1, Urgency::Background).now_or_never().expect("its half");
        let _staged: Vec<_> = (0..4).map(|_| stage()).collect();
        let _waits = asks(&fair, "lab", Urgency::Background);
        let ahead = || fair.try_take_ahead(lab, 1, 0);
        assert!(ahead().is_some());
        let mut reader = fair.take(lab, 5, Urgency::Demand).boxed();
        assert!((&mut reader).now_or_never().is_none() && ahead().is_none());
        drop(reader);
        assert!(ahead().is_some());
    }

    /// Whoever leaves the line takes no place with it.
    #[test]
    fn who_leaves_the_line_holds_nothing() {
        let fair = fair(1);
        let held = takes(&fair, "lab");
        let (leaves, mut stays) = (asks(&fair, "lab", Urgency::Demand), asks(&fair, "shop", Urgency::Demand));
        drop(leaves);
        drop(held);
        let place = (&mut stays).now_or_never().expect("its turn");
        drop(place);
        assert_eq!(fair.held_count(), 0);
    }
}
