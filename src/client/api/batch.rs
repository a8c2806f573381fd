//! The calls about many requests at once, made one by one where the service knows no batches or does not take one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use ureq::http::header;
use zeroize::Zeroizing;

use super::{Answer, Api, ApiError, bearer};
use crate::protocol::batch::{
    BATCH_BODY_LIMIT, HeldOutcome, HeldRequest, KeyedSubmission, OutcomeBatch, StatusQuery, StatusResult,
    StatusResults, SubmissionBatch, SubmissionResult, SubmissionResults,
};
use crate::protocol::messages::RequestStatus;
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

impl Api {
    /// Submits requests, at most [`SUBMISSIONS_LIMIT`](crate::protocol::batch::SUBMISSIONS_LIMIT); the same keys and
    /// bodies again bring the same answers.
    pub fn submit_all(&self, secret: &Secret, submissions: &[KeyedSubmission]) -> Answers {
        let mut answers = Answers::default();
        let mut rest = submissions;
        while !rest.is_empty() && !answers.unanswered {
            let (now, later) = rest.split_at(fitting(rest));
            let part = self.submit_fitting(secret, now);
            answers.results.extend(part.results);
            answers.unanswered = part.unanswered;
            rest = later;
        }
        answers
    }

    fn submit_fitting(&self, secret: &Secret, submissions: &[KeyedSubmission]) -> Answers {
        let all = || {
            let batch = SubmissionBatch { submissions: submissions.to_vec() };
            let answer: Answer<SubmissionResults> = self.post("batch", Some(secret), &batch)?;
            let results = answer.body.results.into_iter().map(|result| match result {
                SubmissionResult::Accepted { request, .. } => Ok(*request),
                SubmissionResult::Refused { problem } => Err(ApiError::Problem(problem)),
            });
            Ok(Answers { results: results.collect(), ..Answers::default() })
        };
        let one = |item: &KeyedSubmission| {
            let answer = self.submit(secret, &item.idempotency_key, &item.submission);
            answer.map(|body| Answer { body, retry_after: None })
        };
        self.together("batch", submissions, all, one)
    }

    /// Where requests stand, at most [`REQUESTS_LIMIT`](crate::protocol::batch::REQUESTS_LIMIT).
    pub fn follow_all(&self, requests: &[HeldRequest]) -> Answers {
        let all = || {
            let query = StatusQuery { requests: requests.to_vec() };
            self.post("status", None, &query).map(statuses)
        };
        self.together("status", requests, all, |held| self.status(held.number, &held.token))
    }

    /// Tells the service what was installed or downloaded, at most
    /// [`REQUESTS_LIMIT`](crate::protocol::batch::REQUESTS_LIMIT).
    pub fn report_all(&self, outcomes: &[HeldOutcome]) -> Answers {
        let all = || {
            let batch = OutcomeBatch { outcomes: outcomes.to_vec() };
            self.post("outcomes", None, &batch).map(statuses)
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

    fn post<T: serde::de::DeserializeOwned>(
        &self,
        route: &str,
        secret: Option<&Secret>,
        body: &impl Serialize,
    ) -> Result<Answer<T>, ApiError> {
        let url = self.url_of(route);
        // Request tokens are in it, so the buffer is cleared after use.
        let mut content = Zeroizing::new(Vec::with_capacity(BATCH_BODY_LIMIT));
        serde_json::to_writer(&mut *content, body)
            .map_err(|error| ApiError::Unreachable { url: url.clone(), source: ureq::Error::Json(error) })?;
        self.call(&url, BATCH_ANSWER_LIMIT, || {
            let request = self.agent.post(&url).header(header::CONTENT_TYPE, "application/json");
            let request = match secret {
                Some(secret) => request.header(header::AUTHORIZATION, bearer(secret)),
                None => request,
            };
            request.header(header::ACCEPT_LANGUAGE, self.language.as_str()).send(content.as_slice())
        })
    }

    fn url_of(&self, route: &str) -> String {
        format!("{}/requests/{route}", self.url)
    }
}

/// How many submissions fit into the body of one call; at least one.
fn fitting(submissions: &[KeyedSubmission]) -> usize {
    /// What stands around them.
    const FRAME: usize = 64;
    let mut length = FRAME;
    let fits = |submission: &&KeyedSubmission| {
        length += 1 + serde_json::to_vec(submission).map_or(BATCH_BODY_LIMIT, |json| json.len());
        length <= BATCH_BODY_LIMIT
    };
    submissions.iter().take_while(fits).count().max(1)
}

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
