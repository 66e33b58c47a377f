// What the page asks of the API: docs/api.md has the functions and their codes.
//
// Everything here answers { success, code, message }, with what was asked for in data. Nothing throws.

/** An agent's tables, as the built-in templates name them after the prefix. */
const TABLES = ['customers', 'messages', 'orders', 'orders_items'];

/** What the user may do about a code, where the message does not say it. */
export const advice = {
    argument_invalid: 'Please correct it.',
    argument_missing: 'Please fill it in.',
    business_required: 'Please choose a business.',
    busy: 'Please try again.',
    invalid_credentials: 'Please try again.',
    no_answer: 'Is the address in config.js right, and are you online?',
    no_such_agent: 'Somebody has deleted it.',
    no_such_business: 'Somebody has deleted it. Please choose another one.',
    no_such_user: 'A user has to sign up first.',
    not_admin: 'Please ask an admin.',
    not_allowed: 'Please ask one of them.',
    not_signed_in: 'Please sign in again.',
    paused: 'An operator approves it, or does not.',
    prefix_invalid: 'Please choose another prefix, or leave it empty.',
    prefix_taken: 'Please choose another prefix, or leave it empty.',
    unexpected: 'Please tell an operator.',
    user_has_agent: 'A user has one agent at most.',
    wrong_user: 'Please sign in again.',
    42501: 'You may not. If you should, please sign in again.',
    PGRST301: 'Please sign in again.',
    PGRST303: 'Please sign in again.',
    PGRST205: 'The API does not know the table yet. Please try again.',
};

/** An answer, in words. */
export const explain = ({ code, message }) =>
    code === 'ok' ? message : `${message} (${code}). ${advice[code] ?? ''}`.trim();

/** What an operator runs about a state. No function of the API does it: it takes the rights of the schema's owner. */
export const operator = {
    blocked: (prefix) => `agent-provisioner agents show ${prefix}`,
    cancelled: (prefix) => `agent-provisioner agents show ${prefix}`,
    failed: (prefix) => `agent-provisioner agents show ${prefix}`,
    gone: (prefix) => `agent-provisioner agents restore ${prefix}`,
    kept: (prefix) => `agent-provisioner agents show ${prefix}`,
    paused: () => 'agent-provisioner jobs list --state paused',
    waiting: () => 'agent-provisioner doctor',
};

/** An error of the API has a code of its own, unless nobody answered. */
async function answer(query) {
    const { data, count, error } = await query;
    return error
        ? { success: false, code: error.code || 'no_answer', message: error.message }
        : { success: true, code: 'ok', message: '', data, count };
}

/** A function that changes something. */
async function call(client, name, args) {
    const answered = await answer(client.rpc(name, args).single());
    return answered.data ?? answered;
}

/** A query of an agent's table. The API learns of new tables a moment after they are ready: PGRST205 until then. */
async function known(query) {
    const end = Date.now() + 60000;
    for (;;) {
        const answered = await answer(query());
        if (answered.code !== 'PGRST205' || Date.now() > end) return answered;
        await new Promise((resolve) => setTimeout(resolve, 250));
    }
}

export const signIn = (client, email, password) => answer(client.auth.signInWithPassword({ email, password }));

/** Ends the session in this browser, even where Auth does not answer. */
export async function signOut(client) {
    const answered = await answer(client.auth.signOut({ scope: 'local' }));
    if (answered.success) return { ...answered, message: 'You are signed out.' };
    const { data } = await client.auth.getSession();
    const where = data.session ? 'You are still signed in' : 'You are signed out here only';
    return { ...answered, message: `${where}: ${answered.message}` };
}

export const businesses = (client) => answer(client.from('businesses').select('id, name').order('name').limit(100));

/** For the user with this address. An empty prefix is drawn. */
export async function create(client, { email, prefix, business }) {
    const user = await answer(client.from('users').select('id').eq('email', email.trim().toLowerCase()).maybeSingle());
    if (!user.success) return user;
    if (!user.data) return { success: false, code: 'no_such_user', message: `nobody has the address ${email}` };
    return call(client, 'create_agent', {
        user_id: user.data.id,
        agent_prefix: prefix.trim() || null,
        business_id: business || null,
    });
}

/** Asks for the deletion. */
export const remove = (client, id) => call(client, 'delete_agent', { agent_id: id });

/** The newest agents, each with its state if the user may see it. */
export async function list(client) {
    const agents = await answer(
        client.from('agents').select('id, agent_prefix, user_id').order('id', { ascending: false }).limit(50),
    );
    if (!agents.success) return agents;
    const ids = agents.data.map(({ id }) => id);
    const states = await answer(client.from('agent_states').select('agent_id, state').in('agent_id', ids));
    if (!states.success) return states;
    const stateOf = new Map(states.data.map(({ agent_id, state }) => [agent_id, state]));
    return { ...agents, data: agents.data.map((agent) => ({ ...agent, state: stateOf.get(agent.id) })) };
}

/** How far an agent is, also by what no row of agent_states says: `waiting`, `blocked`, `gone`. */
export const status = (client, id) => answer(client.rpc('agent_status', { agent_id: id }).single());

/** The user of an agent. */
export const user = (client, id) => answer(client.from('users').select('name').eq('id', id).maybeSingle());

/**
 * Calls look at each change of a state that Realtime tells of, and hear with whether it listens.
 * `wait` makes it say so only when it really does.
 */
export const follow = (client, look, hear) =>
    client
        .channel('states', { config: { postgres_changes_options: { wait: true } } })
        .on('postgres_changes', { event: '*', schema: 'public', table: 'agent_states' }, () => look())
        .subscribe((status) => hear(status === 'SUBSCRIBED'));

/** An agent's tables, with how many rows each has. */
export const tables = (client, prefix) =>
    Promise.all(
        TABLES.map(async (name) => {
            const table = `${prefix}_${name}`;
            return { table, ...(await known(() => client.from(table).select('id', { count: 'exact' }).limit(1))) };
        }),
    );

export const customers = (client, prefix) =>
    known(() => client.from(`${prefix}_customers`).select('id, name, phone').order('id').limit(20));

export const addCustomer = (client, prefix, { name, phone }) =>
    known(() => client.from(`${prefix}_customers`).insert({ name, phone }).select('id').single());
