// What the templates of odd.sql make.
import { createClient } from "@supabase/supabase-js"
import { agentTable, type AgentEnums, type AgentTables } from "./agents"

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Same<A, B>) => {}
type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]

same<keyof AgentTables, "Odd Ones" | "details" | "bare" | "parts">(true)
same<AgentEnums["mood"], "good" | 'it\'s "bad"' | "a\\b">(true)
same<AgentEnums["Size"], "s" | "m">(true)
same<keyof AgentEnums, "mood" | "Size">(true)

type Odd = AgentTables["Odd Ones"]
same<
  Odd["Row"],
  {
    id: number
    number: number
    mood: AgentEnums["mood"]
    moods: AgentEnums["mood"][]
    size: AgentEnums["Size"] | null
    role: "admin" | "agent"
    roles: ("admin" | "agent")[] | null
    grid: number[] | null
    address: string
    default_tag: string | null
    tags: string[] | null
    tag_list: string[]
    place: Json | null
    note: string
    class: string
    default: boolean
    "2nd": string | null
    'Mixed "Case"': string
    ünï: number
    doc: Json
    span: string
    at: string
    during: string
    money: string
    real: number
    char: string
    doubled: number | null
    label: string
  }
>(true)
same<Pick<Odd["Insert"], "id" | "doubled">, { id?: never; doubled?: never }>(true)
same<Pick<Odd["Update"], "id" | "doubled" | "class">, { id?: never; doubled?: never; class?: string }>(true)

const required = {
  mood: "good",
  role: "agent",
  address: "a@b.c",
  tag_list: ["x"],
  class: "a",
  'Mixed "Case"': "b",
  ünï: 1,
  doc: { a: [1, null] },
  span: "1 day",
  during: "[2026-01-01,2026-02-01)",
  money: "1",
  real: 1,
  char: "abc",
  label: "agt_1_a",
} satisfies Odd["Insert"]
same<keyof typeof required, { [K in keyof Odd["Insert"]]-?: {} extends Pick<Odd["Insert"], K> ? never : K }[keyof Odd["Insert"]]>(true)

same<AgentTables["bare"], {
  Row: { note: string | null }
  Insert: { note?: string | null }
  Update: { note?: string | null }
  Relationships: []
}>(true)
type Details = AgentTables["details"]["Relationships"]
same<Details[0]["isOneToOne"] & Details[1]["isOneToOne"], never>(true)
same<Details[number]["foreignKeyName"], "details_odd_id_fkey" | "part" | "kept">(true)
same<Details[number]["referencedRelation"], "Odd Ones" | "details">(true)

export async function embedded() {
  const client = createClient("https://x", "key")
  const odd = await agentTable(client, "agt_1", "parts").select("day, details(odd_id)").single()
  same<typeof odd.data, { day: string; details: { odd_id: number } | null } | null>(true)
  await agentTable(client, "agt_1", "Odd Ones").insert(required)
  // @ts-expect-error
  await agentTable(client, "agt_1", "Odd Ones").insert({ ...required, id: 1 })
  // @ts-expect-error
  await agentTable(client, "agt_1", "Odd Ones").insert({ ...required, mood: "bad" })
}
