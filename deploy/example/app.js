// The page: what it shows, and what its forms do. All text is put in as text, never as markup.

import * as agents from './agents.js';
import { key, url } from './config.js';

const client = supabase.createClient(url, key); // supabase.js, before this file

/** How often it looks by itself, and for how long after the user did something, in milliseconds. */
const SLOW_LOOK = 5000;
const ATTENTION = 5 * 60000;

const at = (id) => document.getElementById(id);

/** A text that stays is left alone: a screen reader would say it again. */
function put(id, text) {
    if (at(id).textContent !== text) at(id).textContent = text;
}

function element(name, text, attributes = {}) {
    return Object.assign(document.createElement(name), { textContent: text, ...attributes });
}

const say = (answered) => put('notice', agents.explain(answered));

/** What a form does. It is sent once at a time. */
function on(id, work) {
    at(id).addEventListener('submit', async (event) => {
        event.preventDefault();
        const form = event.currentTarget;
        if (form.ariaBusy === 'true') return;
        form.ariaBusy = 'true';
        put('notice', 'Please wait.');
        try {
            say(await work(Object.fromEntries(new FormData(form)), form));
            if (signedIn !== null) attend();
        } finally {
            form.ariaBusy = 'false';
        }
    });
}

/** The agent that the user has chosen. It stays when its row is gone. */
let chosen = null;
/** The agent that the panel shows. Its forms act on this one, never on one that is still to come. */
let shown = null;
/** The agent whose rows are shown. */
let filled = null;

function choose(agent) {
    chosen = agent;
    shown = null;
    filled = null;
    at('agent').hidden = true;
    at('customer').reset();
    at('delete').querySelector('details').open = false;
    at('tables').replaceChildren();
    at('customers').replaceChildren();
    attend();
}

// One look at a time. What changes meanwhile is seen by another one.
let looking = false;
let wanted = false;

async function look() {
    wanted = true;
    if (looking || leaving) return;
    looking = true;
    while (wanted) {
        wanted = false;
        await refresh();
    }
    looking = false;
}

/** Whether Realtime tells of changes. */
let told = false;
/** When the slow looks end. */
let attentive = 0;

function hear(listens) {
    told = listens;
    if (listens) look();
}

/** The user did something. */
function attend() {
    attentive = Date.now() + ATTENTION;
    at('again').hidden = true;
    look();
}

/** Realtime does not tell of everything, nor everywhere. */
function lookSlowly() {
    if (document.hidden) return;
    if (Date.now() < attentive) look();
    else at('again').hidden = told;
}

/** Shows what there is. */
async function refresh() {
    const found = await agents.list(client);
    if (found.success) listAgents(found.data);
    else say(found);
    if (chosen !== null) await showAgent(chosen);
}

/** Lists the agents. A list that stays is left alone: it may be open. */
function listAgents(found) {
    const label = ({ agent_prefix, state }) => (state ? `${agent_prefix}: ${state}` : agent_prefix);
    const options = found.map((agent) => element('option', label(agent), { value: agent.id }));
    const key = (all) => [...all].map(({ value, text }) => `${value} ${text}`).join();
    const list = at('agents');
    if (key(options) !== key(list.options)) list.replaceChildren(...options);
    list.onchange = () => choose(found[list.selectedIndex]);
    list.value = chosen?.id ?? '';
}

/** Shows an agent, and how far it is. Nothing waits between the heading and the agent that the forms act on. */
async function showAgent(agent) {
    const { agent_prefix: prefix, id, user_id } = agent;
    const [status, user] = await Promise.all([agents.status(client, id), agents.user(client, user_id)]);
    if (agent !== chosen) return;
    const state = status.data?.state ?? '';
    const command = agents.operator[state]?.(prefix) ?? '';
    shown = agent;
    put('prefix', prefix);
    put('user', user.data ? `It belongs to ${user.data.name}.` : '');
    put('state', state);
    put('message', status.data?.message ?? agents.explain(status));
    put('command', command);
    at('operator').hidden = command === '';
    at('built').hidden = state !== 'ready';
    at('delete').hidden = ['', 'deleting', 'gone', 'kept'].includes(state);
    at('agent').hidden = false;
    if (state !== 'ready') filled = null;
    else if (filled !== id) fill(agent);
}

/** Shows the rows of the agent that is shown, whenever the API has them. */
async function fill(agent) {
    filled = agent.id;
    const prefix = agent.agent_prefix;
    const [tables, customers] = await Promise.all([agents.tables(client, prefix), agents.customers(client, prefix)]);
    if (agent !== shown) return;
    const rows = (table) => (table.success ? `${table.count} rows` : agents.explain(table));
    at('tables').replaceChildren(...tables.map((table) => element('li', `${table.table}: ${rows(table)}`)));
    const people = customers.data ?? [];
    at('customers').replaceChildren(...people.map(({ name, phone }) => element('li', `${name}, ${phone}`)));
}

on('sign-in', async ({ email, password }) => {
    const answered = await agents.signIn(client, email, password);
    return answered.success ? { ...answered, message: 'You are signed in.' } : answered;
});

on('sign-out', async () => {
    hide();
    const answered = await agents.signOut(client);
    leave(agents.explain(answered));
    return answered;
});

on('create', async (fields, form) => {
    const answered = await agents.create(client, fields);
    if (answered.success) {
        form.reset();
        choose(answered.agent);
    }
    return answered;
});

on('customer', async (fields, form) => {
    const agent = shown;
    const answered = await agents.addCustomer(client, agent.agent_prefix, fields);
    if (!answered.success) return answered;
    if (agent === shown) {
        form.reset();
        fill(agent);
    }
    return { ...answered, message: `${fields.name} is added.` };
});

on('delete', async (_, form) => {
    const answered = await agents.remove(client, shown.id);
    form.querySelector('details').open = false;
    return answered;
});

on('again', async () => ({ code: 'ok', message: '' }));

/** The user that the page is for. */
let signedIn = null;
/** The page is about to be loaded again: nobody signs in here any more. */
let leaving = false;

function enter(user) {
    signedIn = user.id;
    put('who', user.email);
    at('sign-in').reset();
    at('sign-in').hidden = true;
    at('sign-out').hidden = false;
    at('signed-in').hidden = false;
    offerBusinesses();
    agents.follow(client, look, hear);
    attend();
    setInterval(lookSlowly, SLOW_LOOK);
    document.addEventListener('visibilitychange', lookSlowly);
}

function hide() {
    leaving = true;
    at('signed-in').hidden = true;
}

/** What one user has seen the next one does not find. Only the notice stays. */
function leave(notice) {
    hide();
    history.replaceState(notice, '');
    location.reload();
}

/** Where there are several. The server knows which one it is if the user owns or administers just one. */
async function offerBusinesses() {
    const found = await agents.businesses(client);
    if (found.data?.length > 1) {
        const options = [{ id: '', name: 'The only one of mine' }, ...found.data];
        at('business').hidden = false;
        const list = options.map(({ id, name }) => element('option', name, { value: id }));
        at('business').querySelector('select').replaceChildren(...list);
    }
}

put('notice', history.state ?? '');
history.replaceState(null, '');

// Also tells of what another tab does: all tabs of a browser share one session.
client.auth.onAuthStateChange((_, session) => {
    if (leaving) return;
    if (signedIn === null) {
        if (session) enter(session.user);
    } else if (session?.user.id !== signedIn) {
        leave(session ? 'Another user has signed in.' : 'Your session has ended. Please sign in again.');
    }
});
