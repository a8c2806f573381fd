//! The calls about many requests at once, made one by one where the service knows no batches or does not take one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use ureq::http::header;
use zeroize::Zeroizing;

use super::{Answer, Api, ApiError, bearer};
use crate::protocol::batch::{
    BATCH_BODY_LIMIT, HeldOutcome, HeldRequest, OutcomeBatch, StatusQuery, StatusResult, StatusResults,
    SubmissionResult, SubmissionResults,
};
use crate::protocol::messages::{RequestStatus, Submission};
use crate::protocol::secret::Secret;

/// No answer about a batch is longer: 500 certificates, or the findings on 250 CSRs.
const BATCH_ANSWER_LIMIT: u64 = 8 * 1024 * 1024;

/// What became of the items of a batch, as far as the service answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// In the order of the items; fewer than those where nobody answered any more.
    pub results: Vec<Result<RequestStatus, ApiError>>,
    /// Nobody answered any more, or not to us: the last result says why, and other items would fare the same.
    pub unanswered: bool,
    /// `Retry-After`, where something is pending.
    pub retry_after: Option<Duration>,
}

impl Answers {
    /// Where all items met the same error, or the first one that nobody answered.
    fn of_error(error: ApiError, items: usize) -> Self {
        let unanswered = is_of_all(&error);
        let mut results = Vec::new();
        if let ApiError::Problem(problem) = &error
            && !unanswered
        {
            results.extend((1..items).map(|_| Err(ApiError::Problem(problem.clone()))));
        }
        results.push(Err(error));
        Self { results, unanswered, retry_after: None }
    }

    fn push(&mut self, result: Result<Answer<RequestStatus>, ApiError>) {
        self.unanswered = matches!(&result, Err(error) if is_of_all(error));
        self.results.push(result.map(|answer| {
            self.retry_after = self.retry_after.or(answer.retry_after);
            answer.body
        }));
    }
}

/// Whether an error is no item's own: who does not answer, or does not talk to us, does so to every item.
fn is_of_all(error: &ApiError) -> bool {
    error.is_no_answer() || !matches!(error, ApiError::Problem(_))
}

/// A [`KeyedSubmission`](crate::protocol::batch::KeyedSubmission) as it is sent.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Keyed<'a> {
    /// Its idempotency key.
    pub idempotency_key: &'a str,
    /// The request.
    #[serde(flatten)]
    pub submission: &'a Submission,
}

impl Api {
    /// Submits requests, at most [`SUBMISSIONS_LIMIT`](crate::protocol::batch::SUBMISSIONS_LIMIT); the same keys and
    /// bodies again bring the same answers.
    pub fn submit_all(&self, secret: &Secret, submissions: &[Keyed<'_>]) -> Answers {
        let mut answers = Answers::default();
        let mut rest = submissions;
        while !rest.is_empty() && !answers.unanswered {
            let (body, count) = match fitting(rest) {
                Ok(fitting) => fitting,
                Err(error) => {
                    answers.push(Err(not_json(self.url_of("batch"), error)));
                    break;
                }
            };
            let (now, later) = rest.split_at(count);
            let part = self.submit_fitting(secret, now, &body);
            answers.results.extend(part.results);
            answers.unanswered = part.unanswered;
            rest = later;
        }
        answers
    }

    fn submit_fitting(&self, secret: &Secret, submissions: &[Keyed<'_>], body: &[u8]) -> Answers {
        let all = || {
            let answer: Answer<SubmissionResults> = self.post("batch", Some(secret), body)?;
            let results = answer.body.results.into_iter().map(|result| match result {
                SubmissionResult::Accepted { request, .. } => Ok(*request),
                SubmissionResult::Refused { problem } => Err(ApiError::Problem(problem)),
            });
            Ok(Answers { results: results.collect(), ..Answers::default() })
        };
        let one = |item: &Keyed<'_>| {
            let answer = self.submit(secret, item.idempotency_key, item.submission);
            answer.map(|body| Answer { body, retry_after: None })
        };
        self.together("batch", submissions, all, one)
    }

    /// Where requests stand, at most [`REQUESTS_LIMIT`](crate::protocol::batch::REQUESTS_LIMIT).
    pub fn follow_all(&self, requests: &[HeldRequest]) -> Answers {
        let all = || {
            let query = StatusQuery { requests: requests.to_vec() };
            self.post("status", None, &self.body("status", &query)?).map(statuses)
        };
        self.together("status", requests, all, |held| self.status(held.number, &held.token))
    }

    /// Tells the service what was installed or downloaded, at most
    /// [`REQUESTS_LIMIT`](crate::protocol::batch::REQUESTS_LIMIT).
    pub fn report_all(&self, outcomes: &[HeldOutcome]) -> Answers {
        let all = || {
            let batch = OutcomeBatch { outcomes: outcomes.to_vec() };
            self.post("outcomes", None, &self.body("outcomes", &batch)?).map(statuses)
        };
        self.together("outcomes", outcomes, all, |HeldOutcome { held, state }| {
            let answer = self.report(held.number, &held.token, *state);
            answer.map(|body| Answer { body, retry_after: None })
        })
    }

    /// Makes one call about all items, or one call each: about a single one, to a service that is older than batches,
    /// and where the batch as a whole is refused, so that only the item that is to blame is.
    fn together<T>(
        &self,
        route: &str,
        items: &[T],
        all: impl FnOnce() -> Result<Answers, ApiError>,
        one: impl Fn(&T) -> Result<Answer<RequestStatus>, ApiError>,
    ) -> Answers {
        if items.len() > 1 && !self.one_by_one.load(Ordering::Relaxed) {
            match all() {
                Ok(answers) if answers.results.len() == items.len() => return answers,
                Ok(answers) => {
                    let found = format!("{} results for {}", answers.results.len(), items.len());
                    return Answers::of_error(ApiError::NotTheService { url: self.url_of(route), found }, items.len());
                }
                // Older services have no such path, or another method at it.
                Err(ApiError::Problem(problem)) if matches!(problem.status, 404 | 405) => {
                    self.one_by_one.store(true, Ordering::Relaxed);
                }
                Err(ApiError::Problem(problem)) if matches!(problem.status, 400 | 413 | 415 | 422) => {}
                Err(error) => return Answers::of_error(error, items.len()),
            }
            log::info!("the service takes no batch, going one by one: url={}", self.url_of(route));
        }
        let mut answers = Answers::default();
        for item in items {
            answers.push(one(item));
            if answers.unanswered {
                break;
            }
        }
        answers
    }

    /// A body that holds request tokens, which is cleared after use.
    fn body(&self, route: &str, content: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, ApiError> {
        let mut body = Zeroizing::new(Vec::with_capacity(BATCH_BODY_LIMIT));
        serde_json::to_writer(&mut *body, content).map_err(|error| not_json(self.url_of(route), error))?;
        Ok(body)
    }

    fn post<T: serde::de::DeserializeOwned>(
        &self,
        route: &str,
        secret: Option<&Secret>,
        body: &[u8],
    ) -> Result<Answer<T>, ApiError> {
        let url = self.url_of(route);
        self.call(&url, BATCH_ANSWER_LIMIT, || {
            let request = self.agent.post(&url).header(header::CONTENT_TYPE, "application/json");
            let request = match secret {
                Some(secret) => request.header(header::AUTHORIZATION, bearer(secret)),
                None => request,
            };
            request.header(header::ACCEPT_LANGUAGE, self.language.as_str()).send(body)
        })
    }

    fn url_of(&self, route: &str) -> String {
        format!("{}/requests/{route}", self.url)
    }
}

fn not_json(url: String, error: serde_json::Error) -> ApiError {
    ApiError::Unreachable { url, source: ureq::Error::Json(error) }
}

/// The body of one call with as many of the submissions as fit, at least one; and how many these are.
fn fitting(submissions: &[Keyed<'_>]) -> serde_json::Result<(Vec<u8>, usize)> {
    let mut body = br#"{"submissions":["#.to_vec();
    let mut count = 0;
    for submission in submissions {
        let before = body.len();
        if count > 0 {
            body.push(b',');
        }
        serde_json::to_writer(&mut body, submission)?;
        if count > 0 && body.len() + END.len() > BATCH_BODY_LIMIT {
            body.truncate(before);
            break;
        }
        count += 1;
    }
    body.extend_from_slice(END);
    Ok((body, count))
}

/// What ends the body of a [`SubmissionBatch`](crate::protocol::batch::SubmissionBatch).
const END: &[u8] = b"]}";

/// Each result, with the issuers' chain back in the place that it has in the answer about a single request.
fn statuses(answer: Answer<StatusResults>) -> Answers {
    let Answer { body: StatusResults { results, chain }, retry_after } = answer;
    let results = results.into_iter().map(|result| match result {
        StatusResult::Known { mut request } => {
            if let Some(issued) = &mut request.issued {
                issued.chain.clone_from(&chain);
            }
            Ok(*request)
        }
        StatusResult::Refused { problem } => Err(ApiError::Problem(problem)),
    });
    Answers { results: results.collect(), retry_after, unanswered: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::batch::SubmissionBatch;
    use crate::protocol::messages::{Contact, Der, MachineDetails};
    use crate::protocol::request::Kind;

    #[test]
    fn a_body_holds_what_fits_and_at_least_one() {
        let of = |length: usize| Submission {
            kind: Kind::ExternalServer,
            csr: Der(vec![0; length]),
            token_sha256: Secret::random().unwrap().fingerprint(),
            machine: MachineDetails::default(),
            contact: Contact::default(),
        };
        for (lengths, expected) in
            [(&[100, 100, 100][..], 3), (&[300 * 1024, 300 * 1024, 300 * 1024], 2), (&[1024 * 1024, 100], 1)]
        {
            let submissions: Vec<Submission> = lengths.iter().copied().map(of).collect();
            let keyed: Vec<Keyed<'_>> =
                submissions.iter().map(|submission| Keyed { idempotency_key: "key", submission }).collect();
            let (body, count) = fitting(&keyed).unwrap();
            let batch: SubmissionBatch = serde_json::from_slice(&body).unwrap();
            let sent: Vec<&Submission> = batch.submissions.iter().map(|keyed| &keyed.submission).collect();
            assert_eq!(count, expected);
            // Not shown where it fails: it is a megabyte.
            assert!(sent.into_iter().eq(submissions.iter().take(expected)));
            assert!(count == 1 || body.len() <= BATCH_BODY_LIMIT, "{}", body.len());
        }
    }
}
