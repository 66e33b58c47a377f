//! Whoever may refer to a table by a foreign key can run code as its owner. The worker's role refers to `agents`, and
//! cannot.

use agent_provisioner::cluster::SUPERUSER;

use crate::support::{ADMIN, Admin, Database, WORKER};

/// A server, and the worker's session with a type of its own, which becomes a bigint by a function of its own. The
/// function notes whose rights it ran with: a sequence keeps that, whatever becomes of the statement.
async fn armed() -> (Database, Admin, Admin) {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.run("create sequence public.seen; grant usage on sequence public.seen to public").await;
    admin.create("agt_ada").await;
    let worker = Admin(db.connect(WORKER).await);
    worker
        .run(
            "set search_path = pg_catalog, pg_temp;
             create type public.mine as enum ('x');
             create function public.spy() returns void language plpgsql as $$
             begin
                 if current_user <> 'agent_provisioner' then
                     perform nextval('public.seen');
                 end if;
             end $$;
             create function public.cast_it(public.mine) returns bigint language plpgsql immutable as
                 'begin perform public.spy(); return 1; end';
             create cast (public.mine as bigint) with function public.cast_it(public.mine) as implicit;
             create domain public.number as bigint check (public.cast_it('x') > 0);
             create table public.trap (id int primary key, agent public.mine, plain bigint, short int,
                 numbered public.number, named varchar)",
        )
        .await;
    (db, admin, worker)
}

const SEEN: &str = "select is_called from public.seen";

async fn code(session: &Admin, sql: &str) -> String {
    session.answer(sql).await.map_or_else(|e| e.code().code().to_owned(), |_| String::new())
}

#[tokio::test]
async fn no_cast_of_the_workers_runs_as_the_owner_of_agents() {
    let (_db, admin, worker) = armed().await;
    let key = "alter table public.trap add foreign key (agent) references public.agents (id)";
    let made = code(&worker, key).await;
    code(&worker, "insert into public.trap values (1, 'x')").await;
    assert!(!admin.one::<bool>(SEEN).await);
    assert_eq!(made, "42501");
}
