//! `request approve --all-pending`, `request reject --all-pending`: the same bulk decision that the managers' pages make.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ptc_enroll::client::report::Progress;
use ptc_enroll::locales::{self, Text};
use ptc_enroll::protocol::bulk::{BulkOutcome, BulkResult, BulkState, BulkStatus};
use ptc_enroll::protocol::request::State;
use ptc_enroll::service::app::App;
use ptc_enroll::service::auth::Actor;
use ptc_enroll::service::registration::{Draft, Maker, RequestQuery, Verdict};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::cli::AllArguments;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Output;

/// How often it looks how far the work is.
const LOOK: Duration = Duration::from_millis(100);

/// How many results are read at once.
const PART: u32 = 200;

pub(crate) async fn run(
    context: &Context,
    app: &Arc<App>,
    operator: &Actor,
    command: &str,
    verdict: &Verdict,
    all: AllArguments,
) -> Result<(), CommandError> {
    let output = &context.output;
    let AllArguments { organisation, kind, without_warnings, dry_run, .. } = all;
    let maker = Maker { actor: operator, certificate: None };
    if let Some(code) = &organisation {
        app.known_organisation(operator, code).await?;
    }
    let query = RequestQuery { state: Some(State::Pending), organisation, kind, ..RequestQuery::default() };
    let Some(Draft { id, has_more }) = app.draft_bulk(maker, &query, without_warnings).await? else {
        let nothing = json!({ "bulk_decision": null, "results": [], "has_more": false });
        return output.result(command, &nothing, || output.say(Text::new("bulk-none-pending")));
    };
    let with_rest = |text: String| match has_more {
        true => format!("{text}\n{}", output.say(Text::new("bulk-more"))),
        false => text,
    };
    if dry_run {
        let shown = results(app, operator, id, output).await?;
        app.discard_bulk(operator, id).await?;
        let warned = shown.iter().filter(|result| !result.warnings.is_empty()).count();
        let count = i64::try_from(shown.len()).unwrap_or(i64::MAX);
        let summary = Text::new("bulk-would").with_number("count", count).with("warned", warned);
        return output.result(command, &json!({ "dry_run": true, "results": shown, "has_more": has_more }), || {
            with_rest(format!("{}\n{}", table(output, &shown), output.say(summary)))
        });
    }
    if let Err(failure) = app.start_bulk(maker, id, verdict, false).await {
        app.discard_bulk(operator, id).await?;
        return Err(failure.into());
    }
    let status = work(app, operator, id, output).await?;
    let results = results(app, operator, id, output).await?;
    let left = status.refused + status.stopped;
    let exit_code = if left > 0 { Exit::Refused as u8 } else { 0 };
    output.result_with(
        command,
        exit_code,
        &json!({ "bulk_decision": status, "results": results, "has_more": has_more }),
        || {
            let summary = Text::new("bulk-done")
                .with("id", status.id)
                .with("approved", status.approved)
                .with("rejected", status.rejected)
                .with("refused", status.refused)
                .with("stopped", status.stopped);
            with_rest(format!("{}\n{}", table(output, &results), output.say(summary)))
        },
    )?;
    if left > 0 { Err(CommandError::NotAllDecided { count: left }) } else { Ok(()) }
}

/// Works it off, beside a service that may do so too, and shows how far it is.
async fn work(app: &Arc<App>, operator: &Actor, id: u64, output: &Output) -> Result<BulkStatus, CommandError> {
    let status = async || app.bulk(operator, id, output.language).await;
    let requests = usize::try_from(status().await?.requests).unwrap_or_default();
    let progress = Progress::of(requests, &Text::new("bulk-working"), output.language);
    let mut shown = 0;
    // Whoever ends this process stops nothing: the service goes on.
    let (_going, stopped) = watch::channel(false);
    loop {
        let mut worker = pin!(app.work_off_bulk(&stopped));
        let worked = loop {
            let worked = timeout(LOOK, &mut worker).await;
            let status = status().await?;
            let done = status.requests - status.waiting;
            progress.advance(usize::try_from(done - shown).unwrap_or_default());
            shown = done;
            if let Ok(worked) = worked {
                break worked.map(|()| status);
            }
        };
        let status = worked?;
        if status.state != BulkState::Running {
            return Ok(status);
        }
        // Another process has it.
        sleep(LOOK).await;
    }
}

async fn results(app: &App, operator: &Actor, id: u64, output: &Output) -> Result<Vec<BulkResult>, CommandError> {
    let (mut results, mut after) = (Vec::new(), None);
    loop {
        let page = app.bulk_results(operator, id, after, Some(PART), output.language).await?;
        results.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(results);
        }
    }
}

fn table(output: &Output, results: &[BulkResult]) -> String {
    let rows: Vec<_> = results
        .iter()
        .map(|result| {
            let why = result.problem.as_ref().and_then(|problem| problem.detail.clone());
            let outcome = output.say(match result.outcome {
                // Nothing was started.
                BulkOutcome::Waiting => locales::state(State::Pending),
                outcome => locales::outcome(outcome),
            });
            [
                result.number.to_string(),
                result.organisation.clone().unwrap_or_default(),
                result.kind.map(|kind| output.say(locales::kind(kind))).unwrap_or_default(),
                result.common_name.clone().unwrap_or_default(),
                why.map_or_else(|| outcome.clone(), |why| format!("{outcome}: {why}")),
                result.warnings.join(" "),
            ]
        })
        .collect();
    let titles = [
        Text::new("column-number"),
        Text::new("column-organisation"),
        Text::new("column-kind"),
        Text::new("column-common-name"),
        Text::new("column-outcome"),
        Text::new("column-warnings"),
    ];
    output.table(titles, &rows)
}
