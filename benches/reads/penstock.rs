//! Our node as one of the servers: a cluster of its own, whose client signs each request.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ClientConfig;
use tests::cluster::secure_http_client;
use tests::wan::Direction;
use tests::{Client, Cluster, Content, Endpoint, MIB, Options, Request, until};

use crate::ask::{Ask, Object, Tenant};
use crate::case::Case;
use crate::cores::{move_to_core, run_on_core};
use crate::exchange::Address;
use crate::ground::Tls;
use crate::server::{CLIENT_CORE, Kind, warm_up};

const OWNER: &str = "ord1";
const ELSEWHERE: &str = "las1";
const PART_BYTES: u64 = 16 * MIB;

/// A cluster of three nodes, one of which is measured.
pub(crate) struct Penstock {
    cluster: Cluster,
    at: &'static str,
    tenants: [Reading; 2],
}

/// A tenant: its bucket, and its clients of the owner and of the node that is measured.
struct Reading {
    bucket: &'static str,
    store: Client,
    node: Client,
}

impl Penstock {
    /// Starts the nodes, the measured one on this process's core and the others on the client's, and makes the tenants.
    pub(crate) async fn start(kind: Kind, case: &Case, tls: &Tls) -> Self {
        let at = if kind == Kind::PenstockAtOwner { OWNER } else { ELSEWHERE };
        let sizes = |mib: u64| format!("{mib} MiB");
        let cache = Options::cache(&sizes(case.memory_mib), &sizes(case.disk_mib));
        let mut options =
            Options::default().served().preallocated().distant(Duration::ZERO).and_at(at, cache);
        if case.is_tls {
            let files = [("certificate", &tls.certificate), ("key", &tls.key)];
            let lines = files.map(|(name, path)| format!("{name} = {:?}\n", path.display().to_string()));
            options = options.and(&format!("[tls]\n{}", lines.concat()));
        }
        let cluster = Cluster::start_with(options).await;
        // Not beside the rounds of other servers.
        until("the memory of blocks is allocated", async || {
            cluster.process(at).log().contains("the memory of blocks is allocated")
        })
        .await;
        for region in tests::cluster::REGIONS.into_iter().filter(|region| *region != at) {
            move_to_core(cluster.process(region).id(), CLIENT_CORE);
        }
        for (_, link) in cluster.links() {
            link.shape(Direction::There, case.way());
            link.shape(Direction::Back, case.way());
        }
        run_on_core(CLIENT_CORE);
        let others = cluster.create_user("other", &["--account", "others", "--level", "full"]);
        let keys = [cluster.keys().clone(), others];
        let mut tenants = keys.into_iter().zip(["first", "second"]).map(|(keys, bucket)| {
            let client = |region, endpoint| {
                let address = cluster.address(region, endpoint);
                let (scheme, http) = match case.is_tls {
                    true => ("https", secure_http_client(&[tls.der.to_vec()])),
                    false => ("http", tests::cluster::http_client()),
                };
                Client::new(http, format!("{scheme}://{address}"), address, keys.clone())
            };
            let node = client(at, Endpoint::Accelerated).under(Endpoint::Accelerated.host(OWNER));
            Reading { bucket, store: client(OWNER, Endpoint::Standard), node }
        });
        let tenants = [tenants.next(), tenants.next()].map(|tenant| tenant.expect("two tenants"));
        for Reading { bucket, store, .. } in &tenants {
            store.create_bucket(bucket).await;
        }
        let node = Self { cluster, at, tenants };
        node.upload(&[warm_up()]).await;
        node
    }

    pub(crate) fn address(&self, tls: Option<Arc<ClientConfig>>) -> Address {
        Address { at: self.cluster.address(self.at, Endpoint::Accelerated), tls }
    }

    pub(crate) async fn upload(&self, objects: &[Object]) {
        for object in objects {
            let Reading { bucket, store, .. } = self.tenant(object.tenant);
            let content = Content::new(1, object.bytes);
            if object.bytes > PART_BYTES {
                let _ = store.put_multipart(bucket, &object.key, content, PART_BYTES).await.ok();
            } else {
                let _ = store.put(bucket, &object.key, content.all()).await.ok();
            }
        }
    }

    /// `ask`, signed, as bytes.
    pub(crate) fn request(&self, ask: &Ask) -> Vec<u8> {
        let Reading { bucket, node, .. } = self.tenant(ask.object.tenant);
        let mut request = Request::new("GET", format!("/{bucket}/{}", ask.object.key));
        if let Some((start, end)) = ask.range {
            request = request.header("range", format!("bytes={start}-{}", end - 1));
        }
        let signed = node.sign(request, SystemTime::now());
        let headers: String =
            signed.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{} {} HTTP/1.1\r\n{headers}\r\n", signed.method, signed.target).into_bytes()
    }

    /// Ends the measured node as a power cut would, and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.cluster.kill_node(self.at);
        self.cluster.launch_node(self.at);
        self.cluster.wait_until_node_is_ready(self.at).await;
    }

    pub(crate) fn process(&self) -> u32 {
        self.cluster.process(self.at).id()
    }

    /// Bytes that came over the ways from other regions.
    pub(crate) fn origin_bytes(&self) -> u64 {
        let ours = self.cluster.links().filter(|((from, _), _)| *from == self.at);
        ours.map(|(_, link)| link.taken(Direction::Back)).sum()
    }

    fn tenant(&self, tenant: Tenant) -> &Reading {
        match tenant {
            Tenant::First => &self.tenants[0],
            Tenant::Second => &self.tenants[1],
        }
    }
}
