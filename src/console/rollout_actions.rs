//! What an operator does to rollouts: shown first, then done with a reason.

use std::fmt::Write as _;

use axum::Extension;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::confirm::{self, quoted};
use super::form::Fields;
use super::reason;
use super::visit::Visit;
use crate::agent::Prefix;
use crate::operations::rollouts::{self, RolloutState};
use crate::operations::upgrade::{self, Plan};
use crate::operations::{self, RolloutLimits};

/// More agents are counted and not named.
const NAMED: usize = 100;

/// Something that an operator can do to a rollout that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Pause,
    Resume,
    Abort,
}

impl Action {
    const ALL: [Self; 3] = [Self::Pause, Self::Resume, Self::Abort];

    /// Those for a rollout in this state.
    pub(super) fn for_state(state: &str) -> impl Iterator<Item = Self> + '_ {
        let open = ["running", "paused"].contains(&state);
        Self::ALL.into_iter().filter(move |action| open && action.wanted().as_str() != state)
    }

    /// In addresses and forms, and of the command.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Abort => "Abort",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Pause => {
                "Nothing more is queued, and jobs that no worker is on are taken back until it goes on."
            }
            Self::Resume => "The service goes on with it, and queues what was taken back.",
            Self::Abort => {
                "Nothing more is queued, and jobs that no worker is on are taken back. It cannot go on after that."
            }
        }
    }

    fn wanted(self) -> RolloutState {
        match self {
            Self::Pause => RolloutState::Paused,
            Self::Resume => RolloutState::Running,
            Self::Abort => RolloutState::Aborted,
        }
    }
}

/// What a form or an address asks for.
enum Asked {
    Change(Action, i64),
    Start(Start),
}

/// A rollout to start.
struct Start {
    /// None: all agents.
    prefixes: Vec<Prefix>,
    canary: Option<i32>,
    max_failures: Option<i32>,
    concurrency: Option<i32>,
}

impl Asked {
    fn read(fields: &Fields) -> Result<Self, String> {
        let name = fields.get("action").unwrap_or_default();
        if name == "start" {
            return Start::read(fields).map(Self::Start);
        }
        let action = Action::ALL.into_iter().find(|action| action.name() == name);
        let action = action.ok_or("There is no such action.")?;
        let id =
            fields.get("id").and_then(|id| id.parse().ok()).ok_or("A rollout has a number.")?;
        Ok(Self::Change(action, id))
    }
}

impl Start {
    fn read(fields: &Fields) -> Result<Self, String> {
        let number = |name| match fields.get(name) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number @ 1..) => Ok(Some(number)),
                Ok(_) | Err(_) => Err(format!("{name} is a number from 1, and not {text:?}.")),
            },
        };
        let words = fields.all("prefix").flat_map(str::split_whitespace);
        let prefixes = words.map(|word| word.parse().map_err(|error| format!("{error}")));
        Ok(Self {
            prefixes: prefixes.collect::<Result<_, _>>()?,
            canary: number("canary")?,
            max_failures: number("max_failures")?,
            concurrency: number("concurrency")?,
        })
    }

    fn limits(&self) -> RolloutLimits {
        RolloutLimits::new(self.canary, self.max_failures, self.concurrency)
    }

    /// Names, options of the command, and values.
    fn numbers(&self) -> [(&'static str, &'static str, Option<i32>); 3] {
        [
            ("canary", "--canary", self.canary),
            ("max_failures", "--max-failures", self.max_failures),
            ("concurrency", "--concurrency", self.concurrency),
        ]
    }

    fn fields(&self, shown: String) -> Vec<(&'static str, String)> {
        let mut fields = vec![("action", "start".to_owned()), ("shown", shown)];
        fields.extend(self.prefixes.iter().map(|prefix| ("prefix", prefix.to_string())));
        for (name, _, number) in self.numbers() {
            fields.extend(number.map(|number| (name, number.to_string())));
        }
        fields
    }

    fn command(&self) -> String {
        let mut command = "agent-provisioner rollouts start".to_owned();
        for prefix in &self.prefixes {
            let _whole = write!(command, " {prefix}");
        }
        for (_, option, number) in self.numbers() {
            if let Some(number) = number {
                let _whole = write!(command, " {option} {number}");
            }
        }
        command + " --reason 'why'"
    }

    async fn plan(&self, visit: &Visit) -> Result<Plan, operations::Error> {
        visit.shared.service.look(|service| upgrade::plan(service, &self.prefixes)).await
    }
}

/// Shows what would be done, and asks for a reason.
pub(super) async fn preview(Extension(visit): Extension<Visit>) -> Response {
    match Asked::read(&visit.query) {
        Err(problem) => visit.error(StatusCode::BAD_REQUEST, &problem),
        Ok(Asked::Change(action, id)) => {
            let page = possible(&visit, action, id).await.map(|()| change(action, id));
            visit.show(action.label(), page).await
        }
        Ok(Asked::Start(start)) => {
            let page = start.plan(&visit).await.map(|plan| starting(&start, &plan));
            visit.show("Start a rollout", page).await
        }
    }
}

/// Refuses what cannot be done any more.
async fn possible(visit: &Visit, action: Action, id: i64) -> Result<(), operations::Error> {
    let rollout = rollouts::find(&visit.shared.instance, id).await?;
    if Action::for_state(&rollout.state).any(|other| other == action) {
        return Ok(());
    }
    Err(operations::Error::RolloutOver { id, state: rollout.state })
}

fn change(action: Action, id: i64) -> Markup {
    let fields = [("action", action.name().to_owned()), ("id", id.to_string())];
    let command =
        format!("agent-provisioner rollouts {} {id} --reason {}", action.name(), quoted("why"));
    html! {
        h1 { (action.label()) " rollout " (id) }
        p { (action.about()) }
        (confirm::form(&fields, action.label(), "../rollouts"))
        (confirm::command(Some(&command)))
    }
}

fn starting(start: &Start, plan: &Plan) -> Markup {
    let number = plan.prefixes.len();
    html! {
        h1 { "Start a rollout: " (number) @if number == 1 { " agent" } @else { " agents" } }
        @if number == 0 {
            p { "No agent is behind the templates of version " (plan.version) "." }
        } @else {
            p {
                "They come to the templates of " (plan.templates) ":"
                @for (version, agents) in &plan.versions { " " (agents) " from version " (version) "." }
            }
        }
        @for left in &plan.held_back {
            p.note { "Left out: " (left.prefix) ", which dead " a href={ "../jobs/" (left.job) } { "job " (left.job) } " holds up." }
        }
        @if number > 0 {
            (agents(plan))
            (confirm::form(&start.fields(plan.fingerprint()), &format!("Start with {number}"), "../rollouts"))
            (confirm::command(Some(&start.command())))
        }
    }
}

fn agents(plan: &Plan) -> Markup {
    let named: Vec<&str> = plan.prefixes.iter().take(NAMED).map(Prefix::as_str).collect();
    html! {
        details {
            summary { "The agents, in their order" }
            p { (named.join(", ")) @if plan.prefixes.len() > NAMED { " and " (plan.prefixes.len() - NAMED) " more" } }
        }
        @if let Some((agent, script)) = &plan.sample {
            details { summary { "What is run for " (agent.prefix) } pre { (script) } }
        }
    }
}

/// Does it.
pub(super) async fn carry_out(Extension(visit): Extension<Visit>, body: Bytes) -> Response {
    let fields = Fields::parse(&body);
    let asked = match Asked::read(&fields) {
        Ok(asked) => asked,
        Err(problem) => return visit.error(StatusCode::BAD_REQUEST, &problem),
    };
    let reason = match reason::read(&fields) {
        Ok(reason) => reason,
        Err(problem) => return visit.error(StatusCode::BAD_REQUEST, &problem),
    };
    let done = match asked {
        Asked::Change(action, id) => change_it(&visit, action, id, &reason).await,
        Asked::Start(start) => {
            let plan = match start.plan(&visit).await {
                Ok(plan) => plan,
                Err(error) => return visit.failed(&error).await,
            };
            if fields.get("shown") != Some(plan.fingerprint().as_str()) {
                let said = "Other agents or templates would be meant now than were shown: nothing was done. Look again.";
                return visit.error(StatusCode::CONFLICT, said);
            }
            start_it(&visit, &start, &plan, &reason).await
        }
    };
    visit.show("Rollout", done).await
}

async fn change_it(
    visit: &Visit,
    action: Action,
    id: i64,
    reason: &str,
) -> Result<Markup, operations::Error> {
    let (actor, instance) = (visit.actor(), &visit.shared.instance);
    let report =
        rollouts::change(&actor, instance, Some(id), action.wanted(), Some(reason)).await?;
    visit.tell(action.name(), "rollout", &id);
    let already = if report.changed { "" } else { " already" };
    Ok(html! {
        h1 { "Rollout " (id) " is " (report.state) (already) }
        @if report.taken_back > 0 { p { "Jobs that were taken back: " (report.taken_back) } }
        p { a href="../rollouts" { "To the rollouts" } }
    })
}

async fn start_it(
    visit: &Visit,
    start: &Start,
    plan: &Plan,
    reason: &str,
) -> Result<Markup, operations::Error> {
    let (actor, instance) = (visit.actor(), &visit.shared.instance);
    let started = upgrade::start(&actor, instance, plan, start.limits(), Some(reason)).await?;
    visit.tell("start", "rollout", &started.id);
    Ok(html! {
        h1 { "Rollout " (started.id) @if started.joined { " is under way already" } @else { " started" } }
        p { a href="../rollouts" { "To the rollouts" } }
    })
}
