//! One request on its way through the hub: what is known of it so far, and what it holds until it ends.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::StatusCode;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::sync::OwnedSemaphorePermit;

use super::Node;
use super::pace::Pace;
use super::watchdog::Deadline;
use crate::accelerated;
use crate::access_log::SaidByForm;
use crate::audit::Asked;
use crate::client::Client;
use crate::metrics::InFlight;
use crate::permission::DeniedSlot;
use crate::quota::{self, Charged};
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::response::Place;
use crate::route::Arrival;
use crate::target::{EndpointKind, Target};

/// One request on its way through the hub. It is recorded when it ends, or when it is dropped before its end.
pub struct Exchange {
    pub(super) node: Arc<Node>,
    pub(super) id: RequestId,
    pub(super) arrived: Instant,
    /// `None` while it may still be another node's own.
    pub(super) arrival: Option<Arrival>,
    pub(super) endpoint: EndpointKind,
    pub(super) target: Option<Arc<Target>>,
    pub(super) client: Client,
    /// Where the request goes when it is not answered here.
    pub(super) upstream: Option<Box<HttpPeer>>,
    /// Cuts a forwarded request off, where pingora cannot.
    pub(super) deadline: Option<Arc<Deadline>>,
    /// How fast the client takes the answer to a forwarded request.
    pub(super) pace: Option<Pace>,
    /// What has passed of a forwarded request.
    pub(super) passed: Passed,
    pub(super) first_byte: Option<Instant>,
    /// The response came before the end of the request's body, which is no fault of its.
    pub(super) is_cut_short: bool,
    /// How long the rest of that body is thrown away.
    pub(super) rest_until: Option<Instant>,
    /// The connection closes as soon as the response has ended.
    pub(super) closes: bool,
    /// That response has ended.
    pub(super) is_answered: bool,
    pub(super) read: Option<accelerated::Served>,
    pub(super) is_recorded: bool,
    /// What it says in its body, if it is a browser's form.
    pub(super) form: OnceLock<SaidByForm>,
    /// What permission refused of it.
    pub(super) denied: DeniedSlot,
    /// What its address is charged.
    pub(super) _charged: Option<Charged>,
    pub(super) _counted: Option<InFlight>,
    pub(super) place: Option<Place>,
    /// On the way to another region.
    pub(super) _forward_place: Option<OwnedSemaphorePermit>,
}

/// What has gone over a client's connection for one request.
#[derive(Clone, Copy, Default)]
pub(super) struct Passed {
    /// The response's status, once its head was written.
    pub(super) status: Option<StatusCode>,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
}

impl Exchange {
    /// One that has just begun to arrive at an endpoint of this kind.
    pub(super) fn of(node: Arc<Node>, endpoint: EndpointKind) -> Self {
        Self {
            node,
            id: RequestId::new(),
            arrived: Instant::now(),
            arrival: None,
            endpoint,
            target: None,
            client: Client::default(),
            upstream: None,
            deadline: None,
            pace: None,
            passed: Passed::default(),
            first_byte: None,
            is_cut_short: false,
            rest_until: None,
            closes: false,
            is_answered: false,
            read: None,
            is_recorded: false,
            form: OnceLock::new(),
            denied: DeniedSlot::default(),
            _charged: None,
            _counted: None,
            place: None,
            _forward_place: None,
        }
    }

    /// Charges the client's address for the request.
    ///
    /// # Errors
    /// `SlowDown`.
    pub(super) async fn charge(&mut self) -> Result<(), Refusal> {
        if let Some(address) = self.client.address {
            let address = quota::of_address(address);
            self._charged = Some(self.node.per_address.enter(address, Instant::now()).await?);
        }
        Ok(())
    }

    /// The client has sent all of a forwarded body.
    pub(super) fn body_has_ended(&mut self) {
        self.is_cut_short = false;
        if let Some(deadline) = &self.deadline {
            deadline.set(None);
        }
    }

    /// The request, as far as it was understood.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            id: self.id,
            client: self.client.address,
            target: self.target.as_deref(),
            form: self.form.get(),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.is_recorded {
            return;
        }
        let error = match self.deadline.as_ref().is_some_and(|deadline| deadline.is_past()) {
            true => stands_still(),
            false => {
                Error::explain(ErrorType::ConnectionClosed, "cut off at the end of the drain").into_down()
            }
        };
        self.record(self.passed, Some(&error));
    }
}

/// The end of a request whose body does not come to its own.
pub(super) fn stands_still() -> Box<Error> {
    Error::explain(ErrorType::ReadTimedout, "the client's body stands still").into_down()
}
