//! `submit-external`: CSRs that were made elsewhere, checked here and sent, each a request of its own.
//!
//! They go part by part: checked on all processors, recorded together, sent by one of several connections, their answers
//! recorded together. So little is in memory at a time, and a run that was cut off is simply run again.

mod report;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{fs, thread};

use time::OffsetDateTime;

pub(super) use self::report::ExternalReport;
use self::report::{Ended, Outcome, Results, replaced};
use super::pending;
use crate::client::api::Api;
use crate::client::cli::SubmitExternalArguments;
use crate::client::config::{Config, ConfigError, ExternalFields};
use crate::client::error::{Error, Fault};
use crate::client::journal::{Journal, LockedJournal, Record, Step};
use crate::client::keys::KeyError;
use crate::client::report::{Lines, Progress};
use crate::client::{external, manifest};
use crate::kill_point;
use crate::locales::Text;
use crate::parallel;
use crate::protocol::batch::SUBMISSIONS_LIMIT;
use crate::protocol::messages::{Der, RequestStatus, Submission};
use crate::protocol::request::{Kind, RequestNumber, State};
use crate::protocol::rules::{CheckedCsr, Expectation, check_csr, read_csr};
use crate::protocol::secret::{Secret, sha256_hex};

/// Fewer CSRs than this are checked faster than a thread starts.
const LEAST: usize = 8;

/// A server elsewhere: its CSR, and what a manifest says of it.
struct Server {
    file: PathBuf,
    fields: Option<ExternalFields>,
}

pub(super) fn run(
    config: &Config,
    arguments: SubmitExternalArguments,
    lines: Lines<'_>,
) -> Result<ExternalReport, Error> {
    if !config.package.settings.external_requests {
        return Err(ConfigError::NoExternalRequests.into());
    }
    let servers: Vec<Server> = match &arguments.manifest {
        Some(path) => {
            let rows = manifest::read(path)?.into_iter();
            rows.map(|row| Server { file: row.csr, fields: Some(row.fields) }).collect()
        }
        None => external::files(&arguments.files)?.into_iter().map(|file| Server { file, fields: None }).collect(),
    };
    let named = |server: &Server| server.fields.as_ref().is_some_and(|fields| !fields.contact.email.is_empty());
    let answers = arguments.fields.answers.clone();
    let fields = ExternalFields::collect(config, arguments.fields, arguments.machine, servers.iter().all(named))?;
    if let Some(path) = &arguments.report {
        external::check_place(path)?;
        let inputs = arguments.manifest.iter().chain(&answers).chain(servers.iter().map(|server| &server.file));
        if fs::canonicalize(path).is_ok_and(|place| is_among(&place, inputs)) || config.home.keeps(path) {
            return Err(ConfigError::ReportInPlace { path: path.clone() }.into());
        }
    }
    let journal = if arguments.dry_run { None } else { Some(pending::lock(config)?) };
    let doing = Text::new(if arguments.dry_run { "checking" } else { "sending" });
    let progress = Progress::of(servers.len(), &doing, config.language);
    let mut results = Results::new(servers.iter().map(|server| server.file.clone()).collect(), lines, progress);
    let work = Work { config, servers: &servers, fields: &fields, again: arguments.again };
    match &journal {
        Some(journal) => work.submit(journal, usize::from(arguments.connections), &mut results)?,
        None => work.check(&mut results)?,
    }
    let (mut report, printed) = results.finish();
    if let Some(path) = arguments.report
        && let Err(source) = report.write(&path, config.language)
    {
        let error = Error::from(ConfigError::Report { path, source });
        config.events.record("error", &[("command", &"submit-external"), ("message", &error)]);
        report.unwritten = Some(error);
    }
    printed.map_err(Error::Output)?;
    Ok(report)
}

/// Whether a file is one of those that are read.
fn is_among<'a>(place: &Path, mut inputs: impl Iterator<Item = &'a PathBuf>) -> bool {
    inputs.any(|input| fs::canonicalize(input).is_ok_and(|input| input == place))
}

/// What it takes to submit.
struct Work<'a> {
    config: &'a Config,
    servers: &'a [Server],
    fields: &'a ExternalFields,
    /// Also what was replaced or revoked is sent.
    again: bool,
}

/// Records that are sent together, and whose servers they are of, in the order of these.
type Batch = Vec<(usize, Record)>;

/// What is known of a CSR before it is sent.
enum Known {
    /// An earlier run submitted it, and this became of it.
    Sent(Box<RequestStatus>),
    /// Earlier runs were cut off before they knew of an answer; oldest first.
    Prepared(Vec<Record>),
    /// It stands in an earlier file of this run.
    Here(usize),
}

impl Work<'_> {
    /// Checks every CSR and says which of them would be sent, and sends none.
    fn check(&self, results: &mut Results<'_>) -> Result<(), Error> {
        let mut known = known(&self.config.journal(), self.again)?;
        for start in (0..self.servers.len()).step_by(SUBMISSIONS_LIMIT) {
            for (index, checked) in (start..).zip(self.check_part(start)) {
                let outcome = checked.map_or_else(
                    |fault| Ended::Failed(fault).into(),
                    |csr| {
                        let csr_sha256 = sha256_hex(csr.der());
                        self.settled(&known, &csr_sha256).unwrap_or_else(|| {
                            known.insert(csr_sha256, Known::Here(index));
                            Ended::Checked(csr.subject().common_name.clone()).into()
                        })
                    },
                );
                results.settle(index, outcome);
            }
        }
        Ok(())
    }

    /// Reads the files of a part and checks their CSRs against every rule.
    fn check_part(&self, start: usize) -> Vec<Result<CheckedCsr, Fault>> {
        let end = self.servers.len().min(start + SUBMISSIONS_LIMIT);
        parallel::map(&self.servers[start..end], LEAST, |server| {
            check(self.config, &server.file).map_err(|error| Fault::new(&error, self.config.language))
        })
    }

    /// Checks and sends every CSR that is not on its way already.
    fn submit(&self, journal: &LockedJournal, connections: usize, results: &mut Results<'_>) -> Result<(), Error> {
        let config = self.config;
        let api = pending::public_api(config);
        let mut known = known(journal.read(), self.again)?;
        // Why nobody answers: what cannot be sent now is not even recorded, so that the next run starts where this one
        // stopped.
        let unanswered: OnceLock<Fault> = OnceLock::new();
        let (to_connections, batches) = sync_channel::<Batch>(1);
        // The connections' alone: where the last of them is gone, nothing more is handed over.
        let batches = Arc::new(Mutex::new(batches));
        let (to_results, answers) = channel();
        thread::scope(|scope| {
            for _ in 0..connections.min(self.servers.len().div_ceil(SUBMISSIONS_LIMIT)) {
                let (api, unanswered, batches, to_results) = (&api, &unanswered, batches.clone(), to_results.clone());
                scope.spawn(move || {
                    let next = || batches.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
                    while let Some(batch) = next() {
                        let (indexes, mut records): (Vec<usize>, Vec<Record>) = batch.into_iter().unzip();
                        let outcomes = send(config, journal, api, &mut records, unanswered);
                        // Nobody listens only where the run has ended.
                        let _ = to_results.send((indexes, outcomes));
                    }
                });
            }
            drop((batches, to_results));
            let to_connections = to_connections;
            for start in (0..self.servers.len()).step_by(SUBMISSIONS_LIMIT) {
                let batch = self.prepare(start, journal, &api, &mut known, &unanswered, results)?;
                if !batch.is_empty() {
                    // It fails where every connection panicked, which ends the run.
                    let _ = to_connections.send(batch);
                }
                answers.try_iter().for_each(|answer| settle(results, answer));
            }
            drop(to_connections);
            answers.iter().for_each(|answer| settle(results, answer));
            Ok(())
        })
    }

    /// Checks a part and records what is to be sent of it. What needs no sending is settled.
    fn prepare(
        &self,
        start: usize,
        journal: &LockedJournal,
        api: &Api,
        known: &mut HashMap<String, Known>,
        unanswered: &OnceLock<Fault>,
        results: &mut Results<'_>,
    ) -> Result<Batch, Error> {
        let mut new = Batch::new();
        let mut resumed = Batch::new();
        let mut outdated = Batch::new();
        for (index, checked) in (start..).zip(self.check_part(start)) {
            let csr = match checked {
                Ok(csr) => csr,
                Err(fault) => {
                    results.settle(index, Ended::Failed(fault).into());
                    continue;
                }
            };
            let csr_sha256 = sha256_hex(csr.der());
            let outcome = match (self.settled(known, &csr_sha256), unanswered.get()) {
                (Some(outcome), _) => outcome,
                (None, Some(fault)) => Ended::Failed(fault.clone()).into(),
                (None, None) => {
                    let mut prepared = match known.insert(csr_sha256, Known::Here(index)) {
                        Some(Known::Prepared(records)) => records,
                        _ => Vec::new(),
                    };
                    let fields = self.fields(index);
                    match prepared.pop_if(|record| fields.are_of(&record.submission)) {
                        Some(record) => resumed.push((index, record)),
                        None => new.push((index, self.record(index, &csr, fields)?)),
                    }
                    outdated.extend(prepared.into_iter().map(|record| (index, record)));
                    continue;
                }
            };
            results.settle(index, outcome);
        }
        let (indexes, mut records): (Vec<usize>, Vec<Record>) = new.into_iter().unzip();
        if !records.is_empty() {
            kill_point::pass("submit.before-record");
            if let Err(error) = journal.write_new(&mut records) {
                let fault = Fault::new(&error.into(), self.config.language);
                settle(results, (indexes, vec![Err(fault); records.len()]));
                return Ok(resumed);
            }
        }
        let mut batch: Batch = indexes.into_iter().zip(records).chain(resumed).collect();
        // Of several for one name, the last one replaces the others.
        batch.sort_by_key(|(index, _)| *index);
        let unsettled = self.send_outdated(outdated, journal, api, unanswered);
        batch.retain(|(index, _)| !unsettled.contains_key(index));
        results.settle_all(unsettled.into_iter().map(|(index, fault)| (index, Ended::Failed(fault).into())));
        Ok(batch)
    }

    /// Sends what earlier runs prepared with other answers: what was sent of it has to be known before anything newer is
    /// sent. Says of which servers it still is not, because one that arrived later would replace the newer one.
    fn send_outdated(
        &self,
        outdated: Batch,
        journal: &LockedJournal,
        api: &Api,
        unanswered: &OnceLock<Fault>,
    ) -> HashMap<usize, Fault> {
        let (indexes, mut records): (Vec<usize>, Vec<Record>) = outdated.into_iter().unzip();
        let parts = records.chunks_mut(SUBMISSIONS_LIMIT);
        let answers: Vec<_> = parts.flat_map(|part| send(self.config, journal, api, part, unanswered)).collect();
        let sent = indexes.into_iter().zip(&records).zip(answers);
        // A refusal of that one is nothing against the newer one.
        sent.filter(|((_, record), _)| record.step != Step::Closed)
            .filter_map(|((index, _), answer)| answer.err().map(|fault| (index, fault)))
            .collect()
    }

    /// How a file ends whose CSR needs no sending.
    fn settled(&self, known: &HashMap<String, Known>, csr_sha256: &str) -> Option<Outcome> {
        match known.get(csr_sha256)? {
            Known::Sent(status) => Some(self.sent_before(status).into()),
            Known::Here(earlier) => Some(Outcome::As(*earlier)),
            Known::Prepared(_) => None,
        }
    }

    /// How a file ends whose CSR an earlier run submitted.
    fn sent_before(&self, status: &RequestStatus) -> Ended {
        if status.state != State::Revoked {
            return Ended::Before(status.clone());
        }
        let error = Error::Revoked { number: status.number, reason: status.reason.clone() };
        Ended::Revoked(status.clone(), Fault::new(&error, self.config.language))
    }

    /// What goes along with the CSR of a server.
    fn fields(&self, index: usize) -> ExternalFields {
        match &self.servers[index].fields {
            Some(given) => given.or(self.fields),
            None => self.fields.clone(),
        }
    }

    /// A record of a CSR that nobody has seen yet.
    fn record(&self, index: usize, csr: &CheckedCsr, fields: ExternalFields) -> Result<Record, KeyError> {
        let ExternalFields { contact, machine } = fields;
        let token = Secret::random().map_err(|_| KeyError::Random)?;
        let submission = Submission {
            kind: Kind::ExternalServer,
            csr: Der(csr.der().to_vec()),
            token_sha256: token.fingerprint(),
            machine,
            contact,
        };
        let name = csr.subject().common_name.clone();
        let mut record =
            Record::new(submission, token, name, OffsetDateTime::now_utc()).map_err(|_| KeyError::Random)?;
        let file = &self.servers[index].file;
        record.source = Some(std::path::absolute(file).unwrap_or_else(|_| file.clone()).display().to_string());
        Ok(record)
    }
}

fn settle(results: &mut Results<'_>, (indexes, ended): (Vec<usize>, Vec<Result<RequestStatus, Fault>>)) {
    let ended = ended.into_iter().map(|ended| ended.map_or_else(Ended::Failed, Ended::Now).into());
    results.settle_all(indexes.into_iter().zip(ended));
}

/// Sends a batch, unless nobody answers.
fn send(
    config: &Config,
    journal: &LockedJournal,
    api: &Api,
    records: &mut [Record],
    unanswered: &OnceLock<Fault>,
) -> Vec<Result<RequestStatus, Fault>> {
    if let Some(fault) = unanswered.get() {
        return vec![Err(fault.clone()); records.len()];
    }
    let answers = pending::send_all(config, journal, api, records);
    if let Some(fault) = answers.iter().find_map(|answer| answer.as_ref().err().filter(|fault| fault.no_answer)) {
        // The first of several connections says why.
        let _ = unanswered.set(fault.clone());
    }
    answers
}

/// The requests for servers elsewhere that keep their CSR from being sent anew, by its SHA-256; of several for one CSR,
/// the newest. What was rejected or has expired keeps none, and `again`, neither what was replaced or revoked.
fn known(journal: &Journal, again: bool) -> Result<HashMap<String, Known>, Error> {
    let mut found = journal.select(|record| {
        if record.submission.kind != Kind::ExternalServer {
            return None;
        }
        let age = (record.number().is_none(), record.number(), record.id.clone());
        let csr = record.submission.csr.sha256();
        let known = match record.status {
            Some(status) => Known::Sent(Box::new(status)),
            None => Known::Prepared(vec![record]),
        };
        Some((age, csr, known))
    })?;
    found.sort_by(|(left, ..), (right, ..)| left.cmp(right));
    // Known before the service was asked about the older one again.
    let replacing = |known: &Known| match known {
        Known::Sent(status) => Some((status.replaces?, status.number)),
        Known::Prepared(_) | Known::Here(_) => None,
    };
    let newer: HashMap<RequestNumber, RequestNumber> =
        found.iter().filter_map(|(.., known)| replacing(known)).collect();
    let mut known = HashMap::with_capacity(found.len());
    for (_, csr, mut before) in found {
        if let Known::Sent(status) = &mut before {
            replaced(status, &newer);
            match status.state {
                State::Rejected | State::Expired => continue,
                State::Cancelled | State::Revoked if again => continue,
                _ => {}
            }
        }
        match (known.get_mut(&csr), before) {
            (Some(Known::Prepared(older)), Known::Prepared(mut newer)) => older.append(&mut newer),
            (_, before) => drop(known.insert(csr, before)),
        }
    }
    Ok(known)
}

/// Reads a file and checks its CSR against every rule.
fn check(config: &Config, file: &Path) -> Result<CheckedCsr, Error> {
    let content = external::read(file).map_err(|source| ConfigError::File { path: file.to_owned(), source })?;
    let der = read_csr(&content).map_err(|finding| Error::Csr(vec![finding]))?;
    let organisation = &config.package.settings.organisation;
    let expectation = Expectation {
        kind: Kind::ExternalServer,
        organisation: &organisation.subject_name(),
        country: &organisation.country,
    };
    check_csr(&der, &expectation).map_err(Error::Csr)
}
