//! Tables and functions, as PostgREST offers them.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value};
use tokio_postgres::error::DbError;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{Project, Refusal, respond};
use crate::support::begin;

/// The relations of schema public, and its functions with the types of their arguments.
const SCHEMA: &str = "
    select json_build_object(
        'relations', (
            select coalesce(json_object_agg(relname, relkind), '{}') from pg_class
            where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v')),
        'functions', (
            select coalesce(json_object_agg(p.proname, (
                select coalesce(json_object_agg(a.name, format_type(a.type, null)), '{}')
                from unnest(p.proargnames[1:p.pronargs], p.proargtypes::oid[]) a (name, type))), '{}')
            from pg_proc p where p.pronamespace = 'public'::regnamespace))::text";

pub struct Request<'a> {
    pub method: &'a Method,
    /// A table, or `rpc/` and a function.
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

pub async fn read_schema(project: &Project, client: &Client) {
    let text: String = client.query_one(SCHEMA, &[]).await.unwrap().get(0);
    *project.schema.lock().unwrap() = serde_json::from_str(&text).unwrap();
}

pub async fn answer(project: &Project, request: &Request<'_>) -> Result<Response, Refusal> {
    let (role, claims) = project.caller(request.headers)?;
    let statement = {
        let schema = project.schema.lock().unwrap();
        request.statement(&schema)
    };
    let statement = statement.inspect_err(|refusal| {
        if refusal.body.get("code").is_some_and(|code| code == "PGRST205") {
            let line = format!("{} {}", request.method, request.path);
            project.unknown.lock().unwrap().push(line);
        }
    })?;
    let end = if project.rollback { "rollback" } else { "commit" };
    // As on Supabase the API waits for no lock for long.
    let begin = begin(&role, &claims.to_string());
    let sql = format!("{begin}; set local lock_timeout = '1s'; {statement}; {end}");
    let (client, connection) =
        tokio_postgres::connect(&project.authenticator, NoTls).await.unwrap();
    tokio::spawn(connection);
    let messages = client.simple_query(&sql).await;
    let messages = messages.map_err(|error| refused(error.as_db_error().unwrap(), &role))?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((row.get(0).unwrap_or("[]"), row.get(1).unwrap_or("0")))
        }
        SimpleQueryMessage::CommandComplete(_) | SimpleQueryMessage::RowDescription(_) | _ => None,
    });
    request.response(row)
}

impl Request<'_> {
    fn header_has(&self, name: &str, text: &str) -> bool {
        let values = self.headers.get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok()).any(|value| value.contains(text))
    }

    /// Answers the rows as JSON, and how many there are without a limit.
    fn statement(&self, schema: &Value) -> Result<String, Refusal> {
        let source = match self.path.strip_prefix("rpc/") {
            Some(function) => self.call(function, schema)?,
            None => self.table(schema)?,
        };
        if self.method == Method::POST && !self.path.starts_with("rpc/") && !self.representation() {
            return Ok(source);
        }
        let (mut columns, mut filters, mut rest) =
            ("*".to_owned(), "true".to_owned(), String::new());
        for (key, value) in form_urlencoded::parse(self.query.as_bytes()) {
            match &*key {
                "select" => columns = list(&value, selected),
                "order" => write!(rest, " order by {}", list(&value, order)).unwrap(),
                "limit" => write!(rest, " limit {}", literal(&value)).unwrap(),
                "columns" => {}
                column => write!(filters, " and {}", filter(column, &value)?).unwrap(),
            }
        }
        Ok(format!(
            "with source as ({source}), filtered as (select * from source where {filters})
             select coalesce(json_agg(r), '[]'), (select count(*) from filtered)
             from (select {columns} from filtered{rest}) r"
        ))
    }

    fn representation(&self) -> bool {
        self.header_has("prefer", "return=representation")
    }

    fn table(&self, schema: &Value) -> Result<String, Refusal> {
        let known = schema.get("relations").and_then(|relations| relations.get(self.path));
        if known.is_none() {
            let message =
                format!("Could not find the table 'public.{}' in the schema cache", self.path);
            return Err(Refusal::new(404, "PGRST205", &message));
        }
        let table = name(self.path);
        if self.method == Method::GET {
            return Ok(format!("select * from public.{table}"));
        }
        if self.method != Method::POST {
            return Err(Refusal::new(405, "PGRST117", "only GET and POST are there"));
        }
        let row = self.object()?;
        let columns = row.keys().map(|key| name(key)).collect::<Vec<_>>().join(", ");
        let returning = if self.representation() { " returning *" } else { "" };
        Ok(format!(
            "insert into public.{table} ({columns})
             select {columns} from json_populate_record(null::public.{table}, {}){returning}",
            literal(&Value::Object(row).to_string())
        ))
    }

    fn call(&self, function: &str, schema: &Value) -> Result<String, Refusal> {
        let arguments = self.object()?;
        let types = schema.get("functions").and_then(|functions| functions.get(function));
        let declared = |key: &String| Some(format!("{} {}", name(key), types?.get(key)?.as_str()?));
        let columns: Option<Vec<String>> = arguments.keys().map(declared).collect();
        let Some(columns) = columns.filter(|_| types.is_some()) else {
            let message =
                format!("Could not find the function public.{function} in the schema cache");
            return Err(Refusal::new(404, "PGRST202", &message));
        };
        let function = name(function);
        if columns.is_empty() {
            return Ok(format!("select * from public.{function}()"));
        }
        let given = arguments.keys().map(|key| format!("{0} => a.{0}", name(key)));
        Ok(format!(
            "select f.* from json_to_record({}) a ({}), lateral public.{function}({}) f",
            literal(&Value::Object(arguments.clone()).to_string()),
            columns.join(", "),
            given.collect::<Vec<_>>().join(", ")
        ))
    }

    fn object(&self) -> Result<Map<String, Value>, Refusal> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        let parsed = serde_json::from_slice(self.body).ok();
        parsed.ok_or_else(|| Refusal::new(400, "PGRST102", "the body is no JSON object"))
    }

    fn response(&self, row: Option<(&str, &str)>) -> Result<Response, Refusal> {
        let inserted = self.method == Method::POST && !self.path.starts_with("rpc/");
        let status = if inserted { StatusCode::CREATED } else { StatusCode::OK };
        let Some((rows, count)) = row else { return Ok(respond(status, &Value::Null)) };
        let rows: Vec<Value> = serde_json::from_str(rows).unwrap();
        let range = match rows.len().checked_sub(1) {
            Some(last) => format!("0-{last}"),
            None => "*".to_owned(),
        };
        let count = if self.header_has("prefer", "count=exact") { count } else { "*" };
        let mut response = if !self.header_has("accept", "vnd.pgrst.object") {
            respond(status, &Value::Array(rows))
        } else if let [row] = rows.as_slice() {
            respond(status, row)
        } else {
            let message = "Cannot coerce the result to a single JSON object";
            return Err(Refusal::new(406, "PGRST116", message));
        };
        let range = HeaderValue::from_str(&format!("{range}/{count}")).unwrap();
        response.headers_mut().insert("content-range", range);
        Ok(response)
    }
}

fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What is separated by commas, each made into SQL.
fn list(text: &str, each: impl Fn(&str) -> String) -> String {
    text.split(',').map(|item| each(item.trim().trim_matches('"'))).collect::<Vec<_>>().join(", ")
}

fn selected(column: &str) -> String {
    if column == "*" { column.to_owned() } else { name(column) }
}

fn order(item: &str) -> String {
    let (column, direction) = item.split_once('.').unwrap_or((item, "asc"));
    format!("{} {}", name(column), if direction.starts_with("desc") { "desc" } else { "asc" })
}

fn filter(column: &str, condition: &str) -> Result<String, Refusal> {
    let column = name(column);
    match condition.split_once('.') {
        Some(("eq", value)) => Ok(format!("{column} = {}", literal(value))),
        Some(("neq", value)) => Ok(format!("{column} <> {}", literal(value))),
        Some(("is", "null")) => Ok(format!("{column} is null")),
        Some(("in", "()")) => Ok("false".to_owned()),
        Some(("in", values)) => {
            Ok(format!("{column} in ({})", list(values.trim_matches(['(', ')']), literal)))
        }
        _ => Err(Refusal::new(400, "PGRST100", &format!("the stand-in knows no {condition}"))),
    }
}

fn refused(error: &DbError, role: &str) -> Refusal {
    let status = match error.code().code() {
        "42501" if role == "anon" => 401,
        "42501" => 403,
        "23503" | "23505" => 409,
        "42P01" | "42883" => 404,
        _ => 400,
    };
    Refusal::new(status, error.code().code(), error.message())
}
