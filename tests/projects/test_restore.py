"""What of a dump the copy gets, and what is named as missing. Without a database."""

import psycopg
import pytest

from supabase_jobs.projects.restore import DumpedObject, Failure, objects

DUMP = """\\restrict abc

SET statement_timeout = 0;

--
-- Name: notes; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.notes (body text DEFAULT '
-- Name: x; Type: TABLE; Schema: y; Owner: z
');


ALTER TABLE public.notes OWNER TO postgres;

--
-- Name: notes own; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY own ON public.notes USING (true);


--
-- Name: FUNCTION find(q text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.find(q text) FROM PUBLIC;

\\unrestrict abc
"""


def test_statements_belong_to_the_object_above_them() -> None:
    found = [(item.type, item.name, item.labels) for item in objects(DUMP)]
    assert found == [
        ("", "", [""]),
        ("TABLE", "notes", ["public.notes"]),
        ("TABLE", "notes", ["public.notes"]),
        ("POLICY", "notes own", ["public.notes"]),
        ("ACL", "FUNCTION find(q text)", ["public.find(q text)"]),
    ]


@pytest.mark.parametrize(
    ("type", "error", "is_decisive"),
    [
        ("POLICY", psycopg.errors.UndefinedFunction(), True),
        ("TABLE", psycopg.errors.UndefinedObject(), True),
        ("TABLE", psycopg.errors.InvalidParameterValue(), False),
        ("SCHEMA", psycopg.errors.DuplicateSchema(), False),
        ("INDEX", psycopg.errors.UndefinedObject(), False),
    ],
)
def test_only_what_decides_access_is_named(
    type: str, error: psycopg.Error, is_decisive: bool
) -> None:
    assert Failure(DumpedObject("select 1", type, "public", "x"), error).is_decisive is is_decisive
