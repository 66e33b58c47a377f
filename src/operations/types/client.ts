
/** Codes of what is done, or asked for. */
type Success = "ok" | "paused"

/** What a function says to a program: docs/api.md has the meanings. */
export type Code =
  | Success
  | "busy"
  | "unexpected"
  | "not_signed_in"
  | "wrong_user"
  | "not_admin"
  | "not_allowed"
  | "argument_missing"
  | "argument_invalid"
  | "not_changeable"
  | "prefix_invalid"
  | "prefix_taken"
  | "user_has_agent"
  | "no_such_user"
  | "no_such_agent"
  | "agent_exists"
  | "not_built"
  | "no_such_business"
  | "business_required"
  | "already_member"
  | "not_member"
  | "last_owner"
  | "role_too_high"
  | "no_such_invitation"
  | "number_taken"
  | "number_has_app"
  | "number_has_token"
  | "not_of_business"
  | "settings_invalid"
  | "settings_secret"
  | "settings_too_large"
  | "no_such_config"

/** How it went, and what came of it: null where nothing was changed. */
type Answer<Name extends string = never, Value = never> =
  | ({ success: true; message: string; code: Success } & { [N in Name]: Value })
  | ({ success: false; message: string; code: Exclude<Code, Success> } & { [N in Name]: null })

/** A row of a table of the base schema, as `supabase gen types` has it. */
type RowOf<D, T extends string> = D extends { public: { Tables: { [N in T]: { Row: infer R } } } } ? R : Json

/** The `Database` of `supabase gen types`, with the functions as they are typed here. */
export type WithApi<D> = {
  [S in keyof D]: S extends "public"
    ? { [K in keyof D[S]]: K extends "Functions" ? Omit<D[S][K], keyof ApiFunctions> & ApiFunctions<D> : D[S][K] }
    : D[S]
}

/** PostgREST has `PGRST205` since 13. */
type AgentDatabase = {
  __InternalSupabase: { PostgrestVersion: "13" }
  public: {
    Tables: AgentTables
    Views: { [_ in never]: never }
    Functions: { [_ in never]: never }
    Enums: AgentEnums
    CompositeTypes: { [_ in never]: never }
  }
}

/**
 * One of the tables of an agent: `agentTable(supabase, "agt_6f78", "customers")` is `supabase.from("agt_6f78_customers")`, typed.
 * Tables that are embedded in a select bear no prefix either: `.select("name, orders(status)")`.
 */
export function agentTable<T extends string & keyof AgentTables>(
  client: SupabaseClient<any, any, any, any, any>,
  prefix: string,
  table: T,
) {
  const query = (client as SupabaseClient<AgentDatabase>).from(`${prefix}_${table}` as T)
  const send = query.fetch ?? fetch
  query.fetch = (url, init) => {
    const address = new URL(String(url))
    const select = address.searchParams.get("select")
    if (select) address.searchParams.set("select", withPrefix(select, prefix))
    return send(address.href, init)
  }
  return query
}

/** The select as PostgREST has to get it. `orders(…)` is answered as `orders`, whatever the table is called. */
function withPrefix(select: string, prefix: string): string {
  return select.replace(/(^|\.\.\.|[(,:!])([\w$]+)(?=[!(])/g, (all, before: string, name: string) => {
    if (!prefixed.has(name)) return all
    const alias = ["", "(", ","].includes(before) ? `${name}:` : ""
    return `${before}${alias}${prefix}_${name}`
  })
}

/**
 * A `fetch` for `createClient(url, key, { global: { fetch: retryUntilKnown() } })`. The API answers 404 with `PGRST205` until
 * it knows the tables of a new agent. It has done nothing then, so the same request is sent again, whatever its method, for
 * at most `within` milliseconds.
 */
export function retryUntilKnown(options: { within?: number; fetch?: typeof fetch } = {}): typeof fetch {
  const { within = 10_000, fetch: send = fetch } = options
  return async (input, init) => {
    const end = Date.now() + within
    for (let pause = 100; ; pause = Math.min(2 * pause, 1_000)) {
      const response = await send(input, init)
      const left = end - Date.now()
      if (left <= 0 || !canSendAgain(input, init) || !(await isUnknownTable(response, init))) return response
      await waitFor(Math.min(pause, left), init?.signal)
    }
  }
}

/** Requests of the data API whose body is a text: a stream is gone once it is sent. A Request may have one. */
function canSendAgain(input: RequestInfo | URL, init?: RequestInit): boolean {
  // Of a Request this is no address.
  const address = String(input)
  const isText = init?.body === undefined || init.body === null || typeof init.body === "string"
  return isText && address.includes("/rest/v1/")
}

/** A HEAD gets no body that would say it. */
async function isUnknownTable(response: Response, init?: RequestInit): Promise<boolean> {
  if (response.status !== 404) return false
  if (init?.method?.toUpperCase() === "HEAD") return true
  const body: unknown = await response.clone().json().catch(() => null)
  return typeof body === "object" && body !== null && "code" in body && body.code === "PGRST205"
}

/** Ends early where the signal does. The next request fails then. */
function waitFor(milliseconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", end)
      resolve()
    }
    const timer = setTimeout(end, milliseconds)
    if (signal?.aborted) end()
    else signal?.addEventListener("abort", end)
  })
}
