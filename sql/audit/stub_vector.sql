-- What migrations name of the extension vector where a server lacks it: the type, with any number of dimensions, and its
-- distances, without effect. For the shadow of an audit only. All of it belongs to an extension, so nobody compares it.
-- {schema} is a quoted name.
set search_path = pg_catalog, pg_temp;
create schema if not exists {schema};
do $stub$ begin
    if to_regtype('{schema}.vector') is not null then
        return;
    end if;
    create type {schema}.vector;
    create function {schema}.vector_in(cstring) returns {schema}.vector language internal immutable strict as 'textin';
    create function {schema}.vector_out({schema}.vector) returns cstring language internal immutable strict as 'textout';
    create function {schema}.vector_typmod_in(cstring[]) returns integer
        language internal immutable strict as 'varchartypmodin';
    create function {schema}.vector_typmod_out(integer) returns cstring
        language internal immutable strict as 'varchartypmodout';
    create type {schema}.vector (
        input = {schema}.vector_in, output = {schema}.vector_out,
        typmod_in = {schema}.vector_typmod_in, typmod_out = {schema}.vector_typmod_out, storage = external);
    create function {schema}.l2_distance({schema}.vector, {schema}.vector) returns float8
        language sql immutable strict as 'select 0::float8';
    create function {schema}.inner_product({schema}.vector, {schema}.vector) returns float8
        language sql immutable strict as 'select 0::float8';
    create function {schema}.cosine_distance({schema}.vector, {schema}.vector) returns float8
        language sql immutable strict as 'select 0::float8';
    create operator {schema}.<-> (
        leftarg = {schema}.vector, rightarg = {schema}.vector, function = {schema}.l2_distance);
    create operator {schema}.<#> (
        leftarg = {schema}.vector, rightarg = {schema}.vector, function = {schema}.inner_product);
    create operator {schema}.<=> (
        leftarg = {schema}.vector, rightarg = {schema}.vector, function = {schema}.cosine_distance);
    alter extension plpgsql add type {schema}.vector;
    alter extension plpgsql add function {schema}.vector_in(cstring);
    alter extension plpgsql add function {schema}.vector_out({schema}.vector);
    alter extension plpgsql add function {schema}.vector_typmod_in(cstring[]);
    alter extension plpgsql add function {schema}.vector_typmod_out(integer);
    alter extension plpgsql add function {schema}.l2_distance({schema}.vector, {schema}.vector);
    alter extension plpgsql add function {schema}.inner_product({schema}.vector, {schema}.vector);
    alter extension plpgsql add function {schema}.cosine_distance({schema}.vector, {schema}.vector);
    alter extension plpgsql add operator {schema}.<-> ({schema}.vector, {schema}.vector);
    alter extension plpgsql add operator {schema}.<#> ({schema}.vector, {schema}.vector);
    alter extension plpgsql add operator {schema}.<=> ({schema}.vector, {schema}.vector);
end $stub$;
reset search_path;
