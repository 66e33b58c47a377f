// The functions of the generated file, with real requests.
import assert from "node:assert/strict"
import { createServer } from "node:http"
import { createClient } from "@supabase/supabase-js"
import { agentTable, retryUntilKnown } from "./out/agents.js"

/** What the server was asked. It answers by the path: an unknown table is known at the third request. */
let asked = []
const unknown = JSON.stringify({ code: "PGRST205", message: "Could not find the table in the schema cache" })
const server = createServer(async (request, response) => {
  let body = ""
  for await (const piece of request) body += piece
  const url = new URL(request.url, "http://x")
  asked.push({ method: request.method, url, body })
  const [status, answer] = {
    soon: asked.length < 3 ? [404, unknown] : [200, "[]"],
    never: [404, unknown],
    function: [404, JSON.stringify({ code: "PGRST202" })],
    page: [404, "<h1>not found</h1>"],
  }[url.pathname.split("/").pop()] ?? [200, "[]"]
  response.writeHead(status, { "content-type": "application/json" }).end(answer)
})
await new Promise((listens) => server.listen(0, "127.0.0.1", listens))
const home = `http://127.0.0.1:${server.address().port}`
const rest = `${home}/rest/v1`
const told = async (request) => {
  asked = []
  return [(await request).status, asked.length]
}

const patient = retryUntilKnown({ within: 60_000 })
assert.deepEqual(await told(patient(`${rest}/soon`)), [200, 3])
assert.deepEqual(await told(patient(new URL(`${rest}/soon`), { method: "HEAD" })), [200, 3])
const body = JSON.stringify({ name: "Ada" })
assert.deepEqual(await told(patient(`${rest}/soon`, { method: "POST", body })), [200, 3])
assert.deepEqual(asked.map((request) => [request.method, request.body]), Array(3).fill(["POST", body]))

// What says something else, is no request of the data API, or cannot be sent again.
for (const path of ["/rest/v1/function", "/rest/v1/page", "/storage/v1/never"])
  assert.deepEqual(await told(patient(home + path)), [404, 1])
const stream = () => ({ method: "POST", body: new Blob([body]).stream(), duplex: "half" })
assert.deepEqual(await told(patient(`${rest}/never`, stream())), [404, 1])
assert.deepEqual(await told(patient(new Request(`${rest}/never`, stream()))), [404, 1])

// When the time is up the last answer is the answer, and can be read.
assert.deepEqual(await told(retryUntilKnown({ within: 0 })(`${rest}/never`)), [404, 1])
const last = await retryUntilKnown({ within: 300 })(`${rest}/never`)
assert.equal((await last.json()).code, "PGRST205")

// A signal ends it, while it waits, too: which would take for ever here.
const controller = new AbortController()
const { setTimeout } = globalThis
globalThis.setTimeout = () => setTimeout(() => controller.abort(), 20)
asked = []
await assert.rejects(patient(`${rest}/never`, { signal: controller.signal }), { name: "AbortError" })
globalThis.setTimeout = setTimeout
assert.equal(asked.length, 1)

// By way of supabase-js.
const realtime = { transport: class {} } // of a node without WebSocket
const supabase = createClient(home, "key", { global: { fetch: patient }, realtime })
const soon = await told(supabase.from("soon").insert({ a: 1 }))
assert.deepEqual(soon, [200, 3])
const selects = {
  "*": "*",
  "name, orders(status, orders_items(total))": "name,orders:agt_1_orders(status,orders_items:agt_1_orders_items(total))",
  "who:customers!orders_customer_id_fkey(name)": "who:agt_1_customers!agt_1_orders_customer_id_fkey(name)",
  "customers!inner(name), id.count()": "customers:agt_1_customers!inner(name),id.count()",
  "...customers(name), orders, agents(id)": "...agt_1_customers(name),orders,agents(id)",
}
for (const [written, sent] of Object.entries(selects)) {
  asked = []
  await agentTable(supabase, "agt_1", "orders").select(written)
  await agentTable(supabase, "agt_1", "orders").insert({}).select(written)
  for (const { url } of asked) {
    assert.equal(url.pathname, "/rest/v1/agt_1_orders")
    assert.equal(url.searchParams.get("select"), sent)
  }
  assert.equal(asked.length, 2)
}
asked = []
await agentTable(supabase, "agt_1", "customers").select("*, orders(*)").eq("orders.status", "a&b").limit(3)
assert.equal(asked[0].url.search, "?select=*%2Corders%3Aagt_1_orders%28*%29&orders.status=eq.a%26b&limit=3")
server.close()
server.closeAllConnections()
