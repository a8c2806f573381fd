//! What the service measures of its condition when it is asked: database, queue, outbox, revocation list, certificates.

use std::time::Duration;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use time::OffsetDateTime;
use tokio::time::timeout;

use super::{Words, own};
use crate::protocol::request::{Kind, State};
use crate::service::app::App;
use crate::service::db::outbox::Channel;

/// How long the database may take, so that who scrapes gets what else there is: Prometheus waits for ten seconds unless told
/// otherwise.
const DEADLINE: Duration = Duration::from_secs(5);

/// Seconds and bytes.
type Amount = Gauge<f64, std::sync::atomic::AtomicU64>;

/// Registers the condition of this moment.
pub(super) async fn register(registry: &mut Registry, app: &App) {
    let busy = Family::<Words<1>, Gauge>::default();
    for (pool, connections) in app.database.busy_connections() {
        busy.get_or_create(&[("pool", pool)]).set(connections);
    }
    own(registry, "database_busy_connections", "Connections to the database in use", busy);
    let health = match timeout(DEADLINE, app.condition()).await {
        Ok(Ok(health)) => Some(health),
        Ok(Err(error)) => {
            log::error!(cause:% = error; "no figures of the database");
            None
        }
        Err(_) => {
            log::error!(deadline:? = DEADLINE; "no figures of the database in time");
            None
        }
    };
    gauge(registry, "database_up", "Whether the database answered this scrape", f64::from(u8::from(health.is_some())));
    let Some(health) = health else { return };
    let now = app.now().0;
    let age = |since: Option<OffsetDateTime>| since.map_or(0.0, |since| (now - since).as_seconds_f64());

    let requests = Family::<Words<2>, Gauge>::default();
    for kind in Kind::ALL {
        for state in State::ALL {
            requests.get_or_create(&[("kind", kind.as_str()), ("state", state.as_str())]).set(0);
        }
    }
    for count in &health.counts {
        let labels = [("kind", count.kind.as_str()), ("state", count.state.as_str())];
        requests.get_or_create(&labels).set(count.requests);
    }
    own(registry, "requests", "Requests by state", requests);
    let oldest = "Since when the oldest pending request waits; 0 where none does";
    gauge(registry, "oldest_pending_request_age_seconds", oldest, age(health.oldest_pending));

    let (waiting, oldest) = (Family::<Words<1>, Gauge>::default(), Family::<Words<1>, Amount>::default());
    for channel in Channel::ALL {
        let labels = [("channel", channel.as_str())];
        let lane = health.outbox.iter().find(|lane| lane.channel == channel);
        waiting.get_or_create(&labels).set(lane.map_or(0, |lane| lane.waiting));
        oldest.get_or_create(&labels).set(age(lane.map(|lane| lane.oldest.0)));
    }
    own(registry, "outbox_notices", "Notices that wait to be sent", waiting);
    own(registry, "outbox_oldest_age_seconds", "Since when the oldest notice waits; 0 where none does", oldest);

    if let Some((number, since, next)) = health.crl {
        gauge(registry, "crl_number", "Number of the revocation list", number as f64);
        gauge(registry, "crl_age_seconds", "Since when the revocation list is good", age(Some(since)));
        let left = "Until the revocation list is over; negative where it is";
        gauge(registry, "crl_next_update_seconds", left, -age(Some(next)));
    }
    let left = Family::<Words<1>, Amount>::default();
    for (certificate, end) in
        [("root", health.root_ends), ("issuing", Some(health.issuer_ends)), ("listeners", health.listeners_end)]
    {
        if let Some(end) = end {
            left.get_or_create(&[("certificate", certificate)]).set(-age(Some(end)));
        }
    }
    own(registry, "certificate_expiry_seconds", "Until a certificate of the service's own ends", left);

    let up = f64::from(u8::from(health.key_fault.is_none()));
    gauge(registry, "ca_key_up", "Whether the CA's issuing key can be reached, as in a token", up);

    gauge(registry, "database_size_bytes", "Size of the database's file", health.database_bytes as f64);
    if let Some(disk) = health.disk {
        gauge(
            registry,
            "disk_available_bytes",
            "Free space on the disk with the home, and with the database where that is a file",
            disk.available as f64,
        );
        gauge(registry, "disk_size_bytes", "All space there", disk.size as f64);
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Amount::default();
    gauge.set(value);
    own(registry, name, help, gauge);
}
