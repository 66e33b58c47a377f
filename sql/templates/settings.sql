-- All settings, and whether each was made in this session or transaction. Two are in no list.
select s.name, coalesce(s.setting, ''), s.source = 'session' from pg_catalog.pg_settings s
union all
select o.name, current_setting(o.name), true from (values ('role'), ('session_authorization')) o (name)
