"""The parts of a dump that the copy gets, and those named as missing. Without a database."""

import psycopg

from supabase_jobs.projects.copied import differing
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


def test_objects_that_differ_are_named_with_what_differs() -> None:
    original = {
        ("public.notes", "policy own"): "true",
        ("public.notes", "privileges"): "anon SELECT",
        ("public.find(text)", "function"): "f",
        ("public.same", "table or view"): "r",
    }
    copy = {
        ("public.notes", "policy own"): "false",
        ("public.notes", "policy new"): "true",
        ("public.notes", "privileges"): "anon SELECT",
        ("public.same", "table or view"): "r",
        ("public.stand_in", "table or view"): "r",
    }
    assert differing(original, copy) == {
        "public.notes": ["policy new", "policy own"],
        "public.find(text)": [],
    }


def test_a_failure_is_about_a_function_whose_arguments_have_names() -> None:
    statement = "CREATE FUNCTION public.find(q text) RETURNS int LANGUAGE sql AS 'x'"
    failure = Failure(
        DumpedObject(statement, "FUNCTION", "public", "find(q text)"),
        psycopg.errors.UndefinedTable(),
    )
    assert failure.is_about("public.find(text)")
    assert not failure.is_about("public.find_all(text)")
