//! What `submit`, `submit-external` and `fetch` share: sending prepared records, now or after a crash.

use std::time::Duration;

use crate::client::api::{Api, ApiError, Keyed};
use crate::client::config::Config;
use crate::client::error::{Error, Fault};
use crate::client::journal::{self, Journal, JournalError, LockedJournal, Record, Step};
use crate::client::report::Progress;
use crate::client::store;
use crate::kill_point;
use crate::locales::Text;
use crate::protocol::messages::RequestStatus;
use crate::protocol::problem::ProblemCode;
use crate::protocol::request::StoreScope;

/// How long a run waits for another one to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes the journal's lock, saying so where another run has to end first.
pub(super) fn lock(config: &Config) -> Result<LockedJournal, JournalError> {
    let mut progress = None;
    let journal: Journal = config.journal();
    let locked = journal.lock(PATIENCE, || {
        log::warn!("{}", Text::new("another-run").in_language(config.language));
        progress = Some(Progress::start(&Text::new("another-run"), config.language));
    })?;
    config
        .package
        .pin(locked.folder())
        .map_err(|source| journal::JournalError::File { path: locked.folder().to_owned(), source })?;
    // Certificates that a run was killed before it put in their places.
    journal::remove_unfinished(&config.package.folder);
    Ok(locked)
}

/// The public listener of the environment.
pub(super) fn public_api(config: &Config) -> Api {
    Api::public(&config.package.settings.service_url, config.package.trust(), config.language)
}

/// The store that holds a record's key; an external server's key is not here.
pub(super) fn store_of(config: &Config, scope: StoreScope) -> Box<dyn store::Store> {
    store::open(&config.home, scope, config.environment())
}

/// Whether this account's store, or one for all accounts, holds a record's key. Nobody else can tell whether it is there.
pub(super) fn is_ours(config: &Config, record: &Record) -> bool {
    match (&record.account, record.store) {
        (Some(account), Some(scope)) => store_of(config, scope).account().as_ref() == Some(account),
        _ => true,
    }
}

/// Sends a prepared record and notes the answer. A refusal of its content takes the record and its key away;
/// anything else leaves both, so that the next run goes on.
pub(super) fn send(
    config: &Config,
    journal: &LockedJournal,
    api: &Api,
    record: &mut Record,
) -> Result<RequestStatus, Error> {
    kill_point::pass("submit.before-send");
    let answer = api.submit(&config.package.secret, &record.idempotency_key, &record.submission);
    kill_point::pass("submit.after-send");
    match answer {
        Ok(status) => {
            config.events.record(
                "submitted",
                &[("request", &status.number), ("kind", &status.kind), ("common_name", &record.common_name)],
            );
            // Before the record says that it was accepted: until then, a cut-off run comes by here again.
            if let Some(scope) = record.store
                && let Err(error) = store_of(config, scope).label(&record.id, status.number)
            {
                log::warn!("the key is not labelled: request={} error={error}", status.number);
            }
            record.status = Some(status.clone());
            record.step = Step::Accepted;
            journal.write(record)?;
            kill_point::pass("submit.after-accepted");
            Ok(status)
        }
        Err(error) => {
            let error = Error::Api(error);
            config.events.record("submission-failed", &[("record", &record.id), ("message", &error)]);
            if refused_for_good(&error) {
                forget(config, journal, &[record])?;
            }
            Err(error)
        }
    }
}

/// Sends prepared records of external servers together and notes the answers, with the same care for each as [`send`].
/// What nobody answered any more stays prepared; what was refused for good is closed, and its record gone.
pub(super) fn send_all(
    config: &Config,
    journal: &LockedJournal,
    api: &Api,
    records: &mut [Record],
) -> Vec<Result<RequestStatus, Fault>> {
    let submissions: Vec<Keyed<'_>> = records
        .iter()
        .map(|record| Keyed { idempotency_key: &record.idempotency_key, submission: &record.submission })
        .collect();
    kill_point::pass("submit.before-send");
    let answers = api.submit_all(&config.package.secret, &submissions);
    kill_point::pass("submit.after-send");
    let mut outcomes = Vec::with_capacity(records.len());
    for (record, answer) in records.iter_mut().zip(answers.results) {
        outcomes.push(match answer {
            Ok(mut status) => {
                config.events.record(
                    "submitted",
                    &[("request", &status.number), ("kind", &status.kind), ("common_name", &record.common_name)],
                );
                // `fetch` collects the certificate, should there be one already.
                status.issued = None;
                record.status = Some(status.clone());
                record.step = Step::Accepted;
                Ok(status)
            }
            Err(error) => {
                let error = Error::Api(error);
                config.events.record("submission-failed", &[("record", &record.id), ("message", &error)]);
                if refused_for_good(&error) {
                    record.step = Step::Closed;
                }
                Err(Fault::new(&error, config.language))
            }
        });
    }
    let noted = journal
        .write_all(records.iter().filter(|record| record.step == Step::Accepted))
        .and_then(|()| journal.remove(records.iter().filter(|record| record.step == Step::Closed)));
    kill_point::pass("submit.after-accepted");
    if let Err(error) = noted {
        let fault = Fault::new(&error.into(), config.language);
        outcomes.iter_mut().filter(|outcome| outcome.is_ok()).for_each(|outcome| *outcome = Err(fault.clone()));
    }
    let last = outcomes.last().cloned();
    outcomes.extend(std::iter::repeat_n(last, records.len().saturating_sub(outcomes.len())).flatten());
    outcomes
}

/// Whether it is the submission itself that the service refused, so that it never was and never will be accepted. A
/// refusal of us, an ended package for one, says nothing of what arrived before; nor does one that never looked whether this
/// came before, because it could not read what came now.
fn refused_for_good(error: &Error) -> bool {
    use ProblemCode::{CsrRefused, InvalidField};
    matches!(error, Error::Api(ApiError::Problem(problem)) if matches!(problem.code(), Some(CsrRefused | InvalidField)))
}

/// Takes a record that came to nothing away, its key first, so that no key is ever without a record.
pub(super) fn forget(config: &Config, journal: &LockedJournal, records: &[&Record]) -> Result<(), Error> {
    for record in records.iter().filter(|record| is_ours(config, record)) {
        if let Some(scope) = record.store {
            store_of(config, scope).discard(&record.id)?;
        }
    }
    journal.remove(records.iter().copied())?;
    Ok(())
}

/// Whether a prepared record can be sent: its key must be there. One whose key is not was never sent, and is taken away.
pub(super) fn still_whole(config: &Config, journal: &LockedJournal, record: &Record) -> Result<bool, Error> {
    let whole = match record.store {
        Some(scope) => store_of(config, scope).holds_key(&record.id)?,
        None => true,
    };
    if !whole {
        config.events.record("unfinished-removed", &[("record", &record.id)]);
        forget(config, journal, &[record])?;
    }
    Ok(whole)
}
