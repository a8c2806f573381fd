//! What the holder of a request's token does: follow the request, report its outcome.

use std::collections::HashMap;

use serde_json::json;

use super::{found, record_all, row_object};
use crate::kill_point;
use crate::locales::{self, Text};
use crate::protocol::batch::{HeldOutcome, HeldRequest};
use crate::protocol::messages::{Outcome, RequestStatus};
use crate::protocol::request::{RequestNumber, State};
use crate::protocol::secret::Secret;
use crate::service::app::App;
use crate::service::audit::Event;
use crate::service::auth::{Action, Actor};
use crate::service::db::certificates;
use crate::service::db::requests::{self, RequestRow};
use crate::service::error::{Failure, Refusal};

impl App {
    /// The holder of a request's token. A wrong token and a number that nobody has look alike.
    pub async fn holder_of(&self, number: RequestNumber, token: &Secret) -> Result<Actor, Failure> {
        let row = requests::find(&mut *self.database.read().await?, number).await?;
        found(row.filter(|row| row.token_sha256.matches(token)))?;
        Ok(Actor::RequestHolder { number })
    }

    /// Where a request stands, for the holder of its token.
    pub async fn follow(&self, number: RequestNumber, token: &Secret) -> Result<RequestStatus, Failure> {
        only(self.follow_all([(number, token)]).await?)
    }

    /// The same for many requests. What is refused is an outcome; an error is for all of them.
    pub async fn follow_all<'a>(
        &self,
        held: impl IntoIterator<Item = (RequestNumber, &'a Secret)>,
    ) -> Result<Vec<Result<RequestStatus, Failure>>, Failure> {
        let held: Vec<(RequestNumber, &Secret)> = held.into_iter().collect();
        let mut rows = self.rows_of(held.iter().map(|(number, _)| *number)).await?;
        let oldest_alive = self.oldest_alive();
        if rows.values().any(|row| row.state == State::Pending && row.submitted_at < oldest_alive) {
            self.expire().await?;
            rows = self.rows_of(held.iter().map(|(number, _)| *number)).await?;
        }
        let mut outcomes = Vec::with_capacity(held.len());
        for (number, token) in held {
            outcomes.push(self.reach_held(&rows, number, token, Action::FollowRequest).await);
        }
        let issued: Vec<RequestNumber> =
            outcomes.iter().flatten().filter(|row| row.state.has_valid_certificate()).map(|row| row.number).collect();
        let mut certificates = certificates::of_requests(&mut *self.database.read().await?, &issued).await?;
        if certificates.values().any(|certificate| certificate.der.is_none()) {
            // Recorded and not signed: somebody is about to, or the service stopped in between.
            self.sign_recorded_of(&issued).await?;
            certificates = certificates::of_requests(&mut *self.database.read().await?, &issued).await?;
        }
        let status = |row: &RequestRow| self.status_with(row, certificates.get(&row.number));
        Ok(outcomes.into_iter().map(|outcome| outcome.map(status)).collect())
    }

    /// Notes that the client holds its certificate. Reporting it again changes nothing.
    pub async fn report(
        &self,
        number: RequestNumber,
        token: &Secret,
        outcome: &Outcome,
    ) -> Result<RequestStatus, Failure> {
        let held = HeldRequest { number, token: token.clone() };
        only(self.report_all(&[HeldOutcome { held, state: outcome.state }]).await?)?;
        self.follow(number, token).await
    }

    /// The same for many requests, in one commit; their certificates are not given back to those who have them. What is
    /// refused is an outcome; an error is for all of them.
    pub async fn report_all(&self, reported: &[HeldOutcome]) -> Result<Vec<Result<RequestStatus, Failure>>, Failure> {
        let numbers = || reported.iter().map(|it| it.held.number);
        let rows = self.rows_of(numbers()).await?;
        let mut outcomes = Vec::with_capacity(reported.len());
        for HeldOutcome { held, state } in reported {
            let reached = self.reach_held(&rows, held.number, &held.token, Action::ReportOutcome).await;
            outcomes.push(reached.and_then(|row| {
                if *state == row.kind.outcome() {
                    return Ok(());
                }
                let expected = Text::new("expected-outcome").with("state", row.kind.outcome());
                Err(Refusal::invalid_field("state", expected).into())
            }));
        }

        let mut transaction = self.database.write().await?;
        let mut rows = requests::find_all(&mut transaction, &numbers().collect::<Vec<_>>()).await?;
        let mut changed: HashMap<State, Vec<RequestNumber>> = HashMap::new();
        for (HeldOutcome { held, state }, outcome) in reported.iter().zip(&mut outcomes) {
            let Some(row) = rows.get_mut(&held.number).filter(|row| outcome.is_ok() && row.state != *state) else {
                continue;
            };
            if row.state.may_become(*state) {
                row.state = *state;
                changed.entry(*state).or_default().push(row.number);
            } else {
                let present = Text::new("conflict-state").with_text("state", locales::state(row.state));
                *outcome = Err(Refusal::state_conflict(present).into());
            }
        }
        for (state, numbers) in &changed {
            requests::report(&mut transaction, numbers, *state).await?;
        }
        let holders: Vec<(Actor, &RequestRow)> = changed
            .values()
            .flatten()
            .filter_map(|number| Some((Actor::RequestHolder { number: *number }, rows.get(number)?)))
            .collect();
        let events = holders.iter().map(|(actor, row)| Event {
            actor,
            action: Action::ReportOutcome,
            object: row_object(row),
            detail: json!({ "state": row.state }),
        });
        record_all(self, &mut transaction, events.collect());
        kill_point::pass("outcome.before-commit");
        transaction.commit().await?;
        kill_point::pass("outcome.after-commit");
        let statuses = reported.iter().zip(outcomes).map(|(HeldOutcome { held, .. }, outcome)| {
            outcome.and_then(|()| {
                let row = found(rows.get(&held.number))?;
                Ok(self.status_with(row, None))
            })
        });
        Ok(statuses.collect())
    }

    async fn rows_of(
        &self,
        numbers: impl Iterator<Item = RequestNumber>,
    ) -> Result<HashMap<RequestNumber, RequestRow>, Failure> {
        Ok(requests::find_all(&mut *self.database.read().await?, &numbers.collect::<Vec<_>>()).await?)
    }

    /// The request of a token's holder. A wrong token and a number that nobody has look alike.
    async fn reach_held<'a>(
        &self,
        rows: &'a HashMap<RequestNumber, RequestRow>,
        number: RequestNumber,
        token: &Secret,
        action: Action,
    ) -> Result<&'a RequestRow, Failure> {
        let row = found(rows.get(&number).filter(|row| row.token_sha256.matches(token)))?;
        self.allow(&Actor::RequestHolder { number }, action, &row_object(row)).await?;
        Ok(row)
    }
}

/// The one outcome of the one that was asked for.
fn only<T>(outcomes: Vec<Result<T, Failure>>) -> Result<T, Failure> {
    outcomes.into_iter().next().unwrap_or(Err(Failure::Inconsistent { what: "the outcome of a call" }))
}
