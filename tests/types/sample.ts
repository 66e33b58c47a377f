// Uses every table of the built-in templates and every function. Each line after @ts-expect-error has to be refused.
import { createClient } from "@supabase/supabase-js"
import { agentTable, retryUntilKnown, type AgentTables, type ApiFunctions, type Code, type WithApi } from "./agents"
import type { Database } from "./database"

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Same<A, B>) => {}

const fetch = retryUntilKnown({ within: 5_000 })
const supabase = createClient<WithApi<Database>>("https://x.supabase.co", "key", { global: { fetch } })
type Agent = Database["public"]["Tables"]["agents"]["Row"]

export async function create(user_id: string): Promise<string> {
  const { data: answer, error } = await supabase.rpc("create_agent", { user_id }).single()
  if (error) throw error
  if (!answer.success) {
    same<typeof answer.agent, null>(true)
    same<typeof answer.code, Exclude<Code, "ok" | "paused">>(true)
    // @ts-expect-error
    if (answer.code === "prefix_is_taken") throw new Error("of a code that is none")
    throw new Error(answer.code === "prefix_taken" ? "taken" : answer.message)
  }
  same<typeof answer.agent, Agent>(true)
  return answer.agent.agent_prefix
}

export async function tables(prefix: string) {
  const customers = agentTable(supabase, prefix, "customers")
  const ada = await customers.insert({ name: "Ada", phone: "+1" }).select().single()
  if (ada.error) throw ada.error
  same<typeof ada.data, AgentTables["customers"]["Row"]>(true)
  const customer_id = ada.data.id
  await agentTable(supabase, prefix, "messages").insert({ customer_id, message: "hello", direction: "inbound" })
  const order = await agentTable(supabase, prefix, "orders").insert({ customer_id, status: null }).select("id").single()
  const order_id = order.data!.id
  await agentTable(supabase, prefix, "orders_items").insert([{ order_id, name: "tea", price: 2.5, quantity: 2 }])
  await agentTable(supabase, prefix, "orders_items").update({ quantity: 3 }).eq("order_id", order_id)
  await agentTable(supabase, prefix, "orders").delete().eq("id", order_id)

  const list = await customers.select("name, orders(status, orders_items(total)), messages(message)").order("name")
  same<
    typeof list.data,
    | {
        name: string
        orders: { status: string | null; orders_items: { total: number | null }[] }[]
        messages: { message: string }[]
      }[]
    | null
  >(true)
  const up = await agentTable(supabase, prefix, "orders").select("id, who:customers!orders_customer_id_fkey(name)").single()
  same<typeof up.data, { id: number; who: { name: string } } | null>(true)
  const inner = await agentTable(supabase, prefix, "orders").select("customers!inner(phone)").eq("customers.name", "Ada")
  same<typeof inner.data, { customers: { phone: string } }[] | null>(true)

  // @ts-expect-error
  agentTable(supabase, prefix, "invoices")
  // @ts-expect-error
  await customers.insert({ name: "Ada" })
  // @ts-expect-error
  await customers.insert({ name: "Ada", phone: "+1", fax: "+2" })
  // @ts-expect-error
  await customers.insert({ name: "Ada", phone: 1 })
  // @ts-expect-error
  await agentTable(supabase, prefix, "orders_items").insert({ order_id, name: "tea", total: 5 })
  // @ts-expect-error
  await agentTable(supabase, prefix, "orders_items").update({ total: 5 })
  // @ts-expect-error
  ada.data.id.trim()
  const wrong = await customers.select("nme")
  // @ts-expect-error
  wrong.data?.[0]?.nme
  const unrelated = await customers.select("invoices(id)")
  // @ts-expect-error
  unrelated.data?.[0]?.invoices.id
}

export async function functions(user_id: string, business_id: string, agent_id: number, prefix: string) {
  const config = await supabase.rpc("get_whatsapp_config", { user_id }).single()
  if (config.data?.success) config.data.config.webhook_url satisfies string
  const member = await supabase.rpc("change_member_role", { business_id, user_id, role: "staff" }).single()
  if (member.data?.success) member.data.member.role satisfies string
  const invited = await supabase.rpc("invite_member", { business_id, role: "staff", email: "a@b.c" }).single()
  if (invited.data?.success) await supabase.rpc("accept_invitation", { invitation_id: invited.data.invitation.id })
  const business = await supabase.rpc("create_business", { name: "Tea", owner: user_id }).single()
  if (business.data?.success) await supabase.rpc("move_agent", { agent_id, business_id: business.data.business.id })
  const number = { business_id, meta_app_id: "x", phone_number_id: "1", business_account_id: "2", display_number: "+3" }
  const added = await supabase.rpc("add_whatsapp_number", number).single()
  if (added.data?.success) added.data.number.phone_number_id satisfies string
  const deleted = await supabase.rpc("delete_agent", { agent_id }).single()
  if (deleted.data?.success) same<typeof deleted.data.code, "ok" | "paused">(true)
  await supabase.rpc("update_agent_details", { agent_id, user_updates: { name: "Ada" } })
  await supabase.rpc("update_business_settings", { business_id, settings: { colour: null } })
  await supabase.rpc("remove_member", { business_id, user_id })
  await supabase.rpc("create_whatsapp_config", { user_id, whatsapp_number: "+3", webhook_url: "https://x" })
  await supabase.rpc("update_whatsapp_config", { user_id, is_active: true, api_key: null })
  await supabase.rpc("delete_whatsapp_config", { user_id })
  await supabase.rpc("create_agent_tables", { prefix, agent_id })
  await supabase.rpc("create_agent_indexes", { prefix })
  await supabase.rpc("drop_agent_tables", { prefix })

  const one = await supabase.rpc("agent_status", { agent_id }).single()
  same<typeof one.data, { state: string; template_version: number | null; message: string } | null>(true)
  const all = await supabase.rpc("agent_statuses")
  all.data?.map((status) => status.agent_id satisfies number)
  const codes = await supabase.rpc("create_agent", { user_id, business_id: null }).select("code").single()
  same<typeof codes.data, { code: Code } | null>(true)
  type Row<F extends keyof ApiFunctions> = ApiFunctions[F]["Returns"][number]
  same<Row<"route_message">["agent_id" | "agent_prefix"], number | string | null>(true)
  same<Row<"route_message">["business_id" | "whatsapp_number_id" | "app_id"], string>(true)
  same<Row<"secret_status">["whatsapp_number_id" | "meta_app_id" | "last_four"], string | null>(true)
  same<Row<"get_meta_app_secrets">["business_id"], string | null>(true)
  same<Row<"get_whatsapp_token">["business_id"], string>(true)

  // @ts-expect-error
  await supabase.rpc("create_agnt", { user_id })
  // @ts-expect-error
  await supabase.rpc("create_agent", { user: user_id })
  // @ts-expect-error
  await supabase.rpc("agent_status", { agent_id: prefix })
  // @ts-expect-error
  await supabase.rpc("agent_statuses", { agent_id })
}

/** What the base schema has is typed by `Database`, and any client will do for an agent's tables. */
export async function base(prefix: string) {
  const { data } = await supabase.from("agent_states").select("state, agents(agent_prefix)").eq("agent_id", 7).single()
  same<typeof data, { state: string; agents: { agent_prefix: string } } | null>(true)
  // @ts-expect-error
  await supabase.from("agent_state").select()
  await agentTable(createClient("https://x", "key"), prefix, "customers").select()
  await agentTable(createClient<Database>("https://x", "key"), prefix, "customers").select()
}
