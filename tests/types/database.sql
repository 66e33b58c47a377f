-- What `supabase gen types` writes of schema public: types of columns alone are a few, and views there are none.
with ts (oid, name) as (
    select y.oid, case
        when y.typname in ('int2', 'int4', 'int8', 'numeric') then 'number'
        when y.typname = 'bool' then 'boolean'
        when y.typname = 'jsonb' then 'Json'
        when y.typtype = 'e' then format('Database["public"]["Enums"]["%s"]', y.typname)
        else 'string' end
    from pg_type y
), columns as (
    select c.relname, a.attname, ts.name || case when a.attnotnull then '' else ' | null' end as value,
        case when a.attnotnull and not a.atthasdef and a.attidentity = '' then '' else '?' end as optional
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join ts on ts.oid = a.atttypid
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
), keys as (
    select t.relname, string_agg(format(
        '{ foreignKeyName: "%s"; columns: %s; isOneToOne: %s; referencedRelation: "%s"; referencedColumns: %s }', k.conname,
        (select json_agg(a.attname) from pg_attribute a where a.attrelid = k.conrelid and a.attnum = any (k.conkey)),
        exists (
            select from pg_constraint u
            where u.conrelid = k.conrelid and u.contype in ('p', 'u') and u.conkey = k.conkey)::text,
        k.confrelid::regclass,
        (select json_agg(a.attname) from pg_attribute a where a.attrelid = k.confrelid and a.attnum = any (k.confkey))), ', ') as keys
    from pg_constraint k
    join pg_class t on t.oid = k.conrelid
    where k.contype = 'f' and k.connamespace = 'public'::regnamespace
    group by t.relname
), tables as (
    select relname, string_agg(format('"%s": %s', attname, value), '; ' order by attname) as row,
        string_agg(format('"%s"%s: %s', attname, optional, value), '; ' order by attname) as insert,
        string_agg(format('"%s"?: %s', attname, value), '; ' order by attname) as update
    from columns group by relname
), functions as (
    select p.proname,
        (select string_agg(format('"%s"%s: %s', a.name, case when a.place > pronargs - pronargdefaults then '?' end, ts.name), '; ')
         from unnest(p.proallargtypes, p.proargmodes, p.proargnames) with ordinality a (type, mode, name, place)
         join ts on ts.oid = a.type where a.mode = 'i') as args,
        (select string_agg(format('"%s": %s', a.name, ts.name), '; ')
         from unnest(p.proallargtypes, p.proargmodes, p.proargnames) a (type, mode, name)
         join ts on ts.oid = a.type where a.mode = 't') as returns
    from pg_proc p where p.pronamespace = 'public'::regnamespace
)
select concat(
    'export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]', chr(10),
    'export type Database = { __InternalSupabase: { PostgrestVersion: "13.0.5" }; public: { Tables: { ',
    (select string_agg(format('"%s": { Row: { %s }; Insert: { %s }; Update: { %s }; Relationships: [%s] }',
                              t.relname, t.row, t.insert, t.update, k.keys), '; ')
     from tables t left join keys k on k.relname = t.relname),
    ' }; Views: { [_ in never]: never }; Functions: { ',
    (select string_agg(format('"%s": { Args: %s; Returns: { %s }[] }',
                              proname, coalesce('{ ' || args || ' }', 'never'), returns), '; ') from functions),
    ' }; Enums: { role: "admin" | "agent" }; CompositeTypes: { [_ in never]: never } } }');
