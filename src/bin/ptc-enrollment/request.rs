//! `request`: the queue and the decisions on it.

use std::sync::Arc;

use ptc_enroll::locales::{self, Text};
use ptc_enroll::protocol::messages::{Approval, Rejection, RequestDetail};
use ptc_enroll::protocol::request::RequestNumber;
use ptc_enroll::service::app::App;
use ptc_enroll::service::auth::Actor;
use ptc_enroll::service::registration::{RequestQuery, Verdict};

use crate::bulk;
use crate::cli::RequestCommand;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::{Output, moment};

pub(crate) async fn run(context: &Context, command: RequestCommand) -> Result<(), CommandError> {
    let app = Arc::new(context.app().await?);
    let operator = context.operator();
    match command {
        RequestCommand::List { state, organisation, search, page } => {
            let query = RequestQuery {
                state,
                organisation,
                search,
                after: page.after,
                limit: page.limit,
                ..RequestQuery::default()
            };
            list(context, &app, &operator, &query).await
        }
        RequestCommand::Show { number } => show(context, &app, &operator, "request show", number).await,
        RequestCommand::Approve { number: None, all, .. } => {
            bulk::run(context, &app, &operator, "request approve", &Verdict::Approve, all).await
        }
        RequestCommand::Reject { number: None, all, reason } => {
            bulk::run(context, &app, &operator, "request reject", &Verdict::Reject { reason }, all).await
        }
        RequestCommand::Approve { number: Some(number), csr_sha256, .. } => {
            let csr_sha256 = match csr_sha256 {
                Some(seen) => seen,
                None => app.request(&operator, number).await?.csr_sha256,
            };
            app.approve(&operator, number, &Approval { csr_sha256 }).await?;
            show(context, &app, &operator, "request approve", number).await
        }
        RequestCommand::Reject { number: Some(number), reason, .. } => {
            app.reject(&operator, number, &Rejection { reason }).await?;
            show(context, &app, &operator, "request reject", number).await
        }
    }
}

async fn list(context: &Context, app: &App, operator: &Actor, query: &RequestQuery) -> Result<(), CommandError> {
    let output = &context.output;
    let page = app.list_requests(operator, query).await?;
    output.result("request list", &page, || {
        let rows: Vec<_> = page
            .items
            .iter()
            .map(|request| {
                [
                    request.number.to_string(),
                    request.organisation.clone(),
                    output.say(locales::kind(request.kind)),
                    output.say(locales::state(request.state)),
                    moment(request.submitted_at),
                    request.common_name.clone(),
                    request.email.clone(),
                ]
            })
            .collect();
        let titles = [
            Text::new("column-number"),
            Text::new("column-organisation"),
            Text::new("column-kind"),
            Text::new("column-state"),
            Text::new("column-submitted"),
            Text::new("column-common-name"),
            Text::new("column-email"),
        ];
        let table = output.table(titles, &rows);
        match page.next {
            Some(next) => format!("{table}\n{}", output.say(Text::new("table-more").with("next", next))),
            None => table,
        }
    })
}

async fn show(
    context: &Context,
    app: &App,
    operator: &Actor,
    command: &str,
    number: RequestNumber,
) -> Result<(), CommandError> {
    let request = app.request(operator, number).await?;
    context.output.result(command, &request, || described(&context.output, &request))
}

fn described(output: &Output, request: &RequestDetail) -> String {
    let status = &request.status;
    let number = |number: Option<RequestNumber>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut text = output.pairs(&[
        (Text::new("column-number"), status.number.to_string()),
        (Text::new("column-state"), output.say(locales::state(status.state))),
        (Text::new("column-organisation"), request.organisation.clone()),
        (Text::new("column-kind"), output.say(locales::kind(status.kind))),
        (Text::new("column-common-name"), status.common_name.clone()),
        (Text::new("column-subject"), request.subject.clone()),
        (Text::new("column-key"), request.key.clone()),
        (Text::new("column-csr"), request.csr_sha256.clone()),
        (Text::new("column-submitted"), moment(status.submitted_at)),
        (Text::new("column-approver"), output.say(locales::role(status.approver))),
        (Text::new("column-decided"), status.decided_at.map(moment).unwrap_or_default()),
        (Text::new("column-decided-by"), request.decided_by.clone().unwrap_or_default()),
        (Text::new("column-reason"), status.reason.clone().unwrap_or_default()),
        (Text::new("column-replaces"), number(status.replaces)),
        (Text::new("column-replaced-by"), number(status.replaced_by)),
        (Text::new("column-serial"), status.issued.as_ref().map(|issued| issued.serial.clone()).unwrap_or_default()),
        (Text::new("column-email"), request.contact.email.clone()),
        (Text::new("column-telephone"), request.contact.telephone.clone()),
        (Text::new("column-description"), request.contact.description.clone()),
        (Text::new("column-host"), request.machine.host_name.clone()),
        (Text::new("column-mac"), request.machine.mac_address.clone()),
        (Text::new("column-nic"), request.machine.nic_id.clone()),
        (Text::new("column-processor"), request.machine.processor_id.clone()),
        (
            Text::new("column-system"),
            format!("{} {}", request.machine.os_version, request.machine.os_type).trim().to_owned(),
        ),
    ]);
    for warning in &request.warnings {
        text.push('\n');
        text.push_str(
            &output.say(Text::new("warning-line").with("warning", locales::finding(warning, output.language))),
        );
    }
    text
}
