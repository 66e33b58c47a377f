// The page: what it shows, and what its forms do. All text is put in as text, never as markup.

import * as agents from './agents.js';
import { key, url } from './config.js';

const client = supabase.createClient(url, key); // supabase.js, before this file

/** How often it looks where Realtime says nothing, in milliseconds, and for how many times after the user did something. */
const SLOW_LOOK = 5000;
const LOOKS = 60;

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
        } finally {
            form.ariaBusy = 'false';
        }
    });
}

/** The agent that the user has chosen. It stays when its row is gone. */
let chosen = null;
/** The agent whose rows are shown. */
let filled = null;

function choose(agent) {
    chosen = agent;
    filled = null;
    at('tables').replaceChildren();
    at('customers').replaceChildren();
    put('user', '');
    return attend();
}

// One look at a time. What changes meanwhile is seen by another one.
let looking = false;
let wanted = false;
let left = 0;
let timer;

async function look() {
    wanted = true;
    if (looking) return;
    looking = true;
    clearTimeout(timer);
    let settled = false;
    while (wanted) {
        wanted = false;
        settled = await refresh();
    }
    looking = false;
    left -= 1;
    if (!settled && left > 0) timer = setTimeout(look, SLOW_LOOK);
    at('again').hidden = settled || left > 0;
}

/** Follows what is under way, for a while from now on. */
function attend() {
    left = LOOKS;
    return look();
}

/** Shows what there is; whether nothing is under way. */
async function refresh() {
    const found = await agents.list(client);
    if (!found.success) {
        say(found);
        return false;
    }
    listAgents(found.data);
    const settled = found.data.every(({ state }) => state === undefined || state === 'ready');
    return (chosen === null || (await showAgent(chosen))) && settled;
}

/** Lists the agents. A list that stays is left alone: it may be open. */
function listAgents(found) {
    const labels = found.map(({ agent_prefix, state }) => (state ? `${agent_prefix}: ${state}` : agent_prefix));
    const list = at('agents');
    if (labels.join() !== [...list.options].map(({ text }) => text).join()) {
        list.replaceChildren(...found.map(({ id }, nth) => element('option', labels[nth], { value: id })));
    }
    list.onchange = () => choose(found[list.selectedIndex]);
    list.value = chosen?.id ?? '';
}

/** Shows how far an agent is; whether that is all there will be. */
async function showAgent(agent) {
    const { agent_prefix: prefix, id, user_id } = agent;
    const [status, user] = await Promise.all([agents.status(client, id), agents.user(client, user_id)]);
    if (agent !== chosen) return false;
    const state = status.data?.state ?? '';
    const command = agents.operator[state]?.(prefix) ?? '';
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
    return state === 'ready';
}

/** Shows the rows of an agent, whenever the API has them. */
async function fill(agent) {
    filled = agent.id;
    const prefix = agent.agent_prefix;
    const [tables, customers] = await Promise.all([agents.tables(client, prefix), agents.customers(client, prefix)]);
    if (agent !== chosen) return;
    const rows = (table) => (table.success ? `${table.count} rows` : agents.explain(table));
    at('tables').replaceChildren(...tables.map((table) => element('li', `${table.table}: ${rows(table)}`)));
    const people = customers.data ?? [];
    at('customers').replaceChildren(...people.map(({ name, phone }) => element('li', `${name}, ${phone}`)));
}

on('sign-in', async ({ email, password }, form) => {
    const answered = await agents.signIn(client, email, password);
    if (!answered.success) return answered;
    form.reset();
    enter(answered.data.user);
    return { ...answered, message: 'You are signed in.' };
});

// What one user has seen the next one does not find.
on('sign-out', async () => {
    await client.auth.signOut();
    location.reload();
    return { code: 'ok', message: 'You are signed out.' };
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
    const agent = chosen;
    const answered = await agents.addCustomer(client, agent.agent_prefix, fields);
    if (!answered.success) return answered;
    form.reset();
    fill(agent);
    return { ...answered, message: `${fields.name} is added.` };
});

on('delete', async (_, form) => {
    const answered = await agents.remove(client, chosen.id);
    form.querySelector('details').open = false;
    attend();
    return answered;
});

on('again', async () => {
    attend();
    return { code: 'ok', message: '' };
});

function enter(user) {
    put('who', user.email);
    at('sign-in').hidden = true;
    at('sign-out').hidden = false;
    at('signed-in').hidden = false;
    offerBusinesses();
    agents.follow(client, look);
    attend();
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

const { data } = await client.auth.getSession();
if (data.session) enter(data.session.user);
