//! Requests that were refused before they could be read: charged, counted and logged as those are that are refused afterwards.

use std::sync::Arc;

use http::HeaderMap;

use super::Node;
use super::exchange::{Exchange, Passed};
use crate::client::Client;
use crate::listen::TurnedAway;
use crate::refusal::Refusal;
use crate::route::Arrival;
use crate::target::EndpointKind;

impl Node {
    /// A request that came over `connection` to a listener for `endpoint`, and is refused with `refusal`; or told to slow down,
    /// where its address has no more to ask. It has no place: a document is all that there is of it.
    pub(super) async fn turn_away(
        self: &Arc<Self>,
        endpoint: EndpointKind,
        connection: Client,
        refusal: Refusal,
    ) -> TurnedAway {
        let mut exchange = Exchange::of(self.clone(), endpoint);
        exchange.arrival = Some(Arrival::FromClient);
        // A proxy may have said for whom it asks; nobody has read it.
        exchange.client = self.trusted_proxies.client_behind(connection, &HeaderMap::new());
        let refusal = exchange.charge().await.err().unwrap_or(refusal);
        exchange._counted = Some(self.metrics.request_arrived(endpoint));
        let (id, status) = (exchange.id, refusal.status());
        let record = move |told_bytes: Option<u64>| {
            let sent_bytes = told_bytes.unwrap_or_default();
            exchange
                .record(Passed { status: told_bytes.map(|_| status), sent_bytes, received_bytes: 0 }, None);
        };
        TurnedAway { id, refusal, record: Box::new(record) }
    }
}
