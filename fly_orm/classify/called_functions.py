"""The functions that a statement calls and that may be the user's own."""

from __future__ import annotations

import re

from .lexer import is_name
from .queries import QUERY_WORDS

#: Words that precede a parenthesis and are not functions: keywords that cannot name one, as a rule, and types.
_KEYWORDS = """
    all analyse analyze and any array as asc between bit both by case cast char character collate conflict
    constraint copy create cross cube current_date current_time current_timestamp decimal default desc distinct
    do else end except exists explain false fetch filter float for foreign from full group grouping having ilike
    in inner insert intersect interval into is join lateral left like limit localtime localtimestamp
    materialized not notnull null numeric offset on only or order outer over precision primary references
    returning right rollup row rows select set sets similar some stdin stdout symmetric table then time
    timestamp timestamptz timetz to true truncate union unique using values varbit varchar varying when where
    while window with within xmlattributes xmlnamespaces xmlpi xmlroot xmlserialize xmltable
"""
#: Functions of Postgres that leave a session as it is. Those that are missing here are looked up once.
_BUILT_IN = """
    abs acos age array_agg array_append array_cat array_dims array_fill array_length array_lower array_ndims
    array_position array_positions array_prepend array_remove array_replace array_to_json array_to_string
    array_upper ascii asin atan atan2 avg bit_and bit_length bit_or bool_and bool_or btrim cardinality cbrt ceil ceiling
    char_length character_length chr clock_timestamp coalesce col_description concat concat_ws convert convert_from
    convert_to corr cos cot count covar_pop covar_samp crc32 cume_dist current_database current_query current_schema
    current_schemas current_setting current_user currval date date_bin date_part date_trunc daterange decode degrees
    dense_rank div encode enum_first enum_last enum_range every exp extract factorial first_value floor format
    format_type gcd gen_random_uuid generate_series generate_subscripts get_bit get_byte greatest hashtext
    hashtextextended host hostmask inet_client_addr inet_server_addr inet_server_port initcap int4 int4range int8
    int8range isempty isfinite justify_days justify_hours justify_interval lag last_value lastval lcm lead least length
    ln log log10 lower lower_inc lower_inf lpad ltrim make_date make_interval make_time make_timestamp make_timestamptz
    masklen max md5 min mod mode multirange netmask network nextval normalize now nth_value ntile nullif num_nonnulls
    num_nulls numrange obj_description octet_length overlay parse_ident percent_rank percentile_cont percentile_disc
    phraseto_tsquery pi plainto_tsquery point position pow power querytree quote_ident quote_literal quote_nullable
    radians random random_normal rank regexp_count regexp_like regexp_match regexp_matches regexp_replace
    regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse right round row_number
    row_security_active row_to_json rpad rtrim scale session_user set_bit set_byte setval setweight sha224 sha256 sha384
    sha512 shobj_description sign sin split_part sqrt starts_with statement_timestamp stddev stddev_pop stddev_samp
    string_agg string_to_array string_to_table strip strpos substr substring sum tan text timeofday timezone
    transaction_timestamp translate trim trim_scale trunc ts_headline ts_rank ts_rank_cd tsrange tstzrange
    txid_current txid_current_if_assigned unistr unnest upper upper_inc upper_inf uuidv4 uuidv7 var_pop var_samp
    variance version websearch_to_tsquery width_bucket xmlagg xmlcomment xmlconcat xmlelement xmlforest xmlparse xpath
    xpath_exists
"""
_HARMLESS = frozenset(_KEYWORDS.split()) | frozenset(_BUILT_IN.split())
#: The families of Postgres' own functions. Those that leave state, classify.known_functions knows.
_FAMILIES = re.compile(
    r"pg_\w+|jsonb?_\w+|has_\w+_privilege|to_(?:ascii|char|date|hex|jsonb?|number|reg\w+|timestamp|tsquery|tsvector)"
    r"|lo_\w+|loread|lowrite|regr_\w+|array_to_\w+"
)
#: Functions of Postgres that execute SQL which they get as text.
EXECUTE_TEXT = frozenset({"query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "ts_rewrite", "ts_stat"})
#: What precedes a name that is followed by a list of columns, or a type by its length: a table, an alias.
_NOT_BEFORE_CALLS = frozenset({"into", "as", "with", "recursive", "copy", "collate"})
#: The first words of a query in WITH, apart from parentheses.
_IN_WITH = QUERY_WORDS | {"insert", "update", "delete", "merge"}
#: The first words of statements that may call functions when they run.
_CALLERS = QUERY_WORDS | {"(", "insert", "update", "delete", "merge", "call", "explain", "copy", "declare"}


def calls_when_executed(tokens: list[str]) -> frozenset[str]:
    """The names, in lower case, of functions that may be the user's own and that a statement may call when it runs."""
    if tokens[0] in _CALLERS:
        return user_calls(tokens)
    queries = tokens[0] == "prepare" or not {"table", "materialized"}.isdisjoint(tokens[1:5])
    return user_calls(tokens[tokens.index("as") :]) if queries and "as" in tokens else frozenset()


def user_calls(tokens: list[str]) -> frozenset[str]:
    """The names, in lower case, of functions that a statement may call and that may be the user's own."""
    calls = (at - 1 for at, text in enumerate(tokens) if text == "(" and at > 0)
    return frozenset(tokens[at].strip('"') for at in calls if _may_be_the_users(tokens, at))


def _may_be_the_users(tokens: list[str], at: int) -> bool:
    name = tokens[at]
    if not is_name(name):
        return False
    first = at
    while first > 1 and tokens[first - 1] == ".":
        first -= 2
    if name.strip('"') in EXECUTE_TEXT:
        return True
    if first == at and (name in _HARMLESS or _FAMILIES.fullmatch(name)):
        return False
    if tokens[first].strip('"') == "pg_catalog" or (first > 0 and _precludes_calls(tokens, first - 1)):
        return False
    return not _is_cte(tokens, at + 1)


def _precludes_calls(tokens: list[str], at: int) -> bool:
    """Whether a name after this token is that of a table or an alias, or of a type after ``::``."""
    if tokens[at] == ":":  # one colon is that of a slice
        return at > 0 and tokens[at - 1] == ":"
    if tokens[at] == ")":
        return not _expression_follows(tokens, at)
    return tokens[at] in _NOT_BEFORE_CALLS


def _expression_follows(tokens: list[str], at: int) -> bool:
    """Whether the parenthesis that closes here is that of ``DISTINCT ON (…)`` or ``OPERATOR(…)``."""
    depth = 0
    for index in range(at, 0, -1):
        depth += (tokens[index] == ")") - (tokens[index] == "(")
        if depth == 0:
            return tokens[index - 1] == "operator" or tokens[max(index - 2, 0) : index] == ["distinct", "on"]
    return False


def _is_cte(tokens: list[str], at: int) -> bool:
    """Whether the parenthesis encloses the columns of a query in WITH: ``name (columns) AS (query)``.

    After a call, AS precedes an alias, or a list of columns: ``FROM f() AS (name type)``.
    """
    depth = 0
    for index in range(at, len(tokens) - 3):
        depth += (tokens[index] == "(") - (tokens[index] == ")")
        if depth == 0:
            after = tokens[index + 1 : index + 4]
            begins = after[:2] == ["as", "("] and (after[2] == "(" or after[2] in _IN_WITH)
            return begins or after[:2] == ["as", "materialized"] or after == ["as", "not", "materialized"]
    return False
