"""A caller's settings are those that PostgREST would make of its request."""

import pytest

from supabase_jobs.session.caller import Caller

SIGNED_IN = Caller("authenticated", {"sub": "1"}, {"X-Tenant": "a"}, {"app.level": "2"})


def test_claims_and_headers_become_settings() -> None:
    assert SIGNED_IN.all_settings() == {
        "app.level": "2",
        "request.jwt.claims": '{"sub": "1"}',
        "request.headers": '{"x-tenant": "a"}',
    }


def test_caller_without_claims_and_headers_makes_no_setting() -> None:
    assert Caller("anon").all_settings() == {}


def test_empty_headers_make_a_setting() -> None:
    assert Caller("anon", headers={}).all_settings() == {"request.headers": "{}"}


def test_own_settings_replace_those_of_the_request() -> None:
    caller = Caller("anon", {"role": "anon"}, settings={"request.jwt.claims": "no json"})
    assert caller.all_settings() == {"request.jwt.claims": "no json"}


def test_settings_of_the_previous_caller_are_empty() -> None:
    after = Caller("anon", {"role": "anon"}).after(SIGNED_IN)
    assert after.all_settings() == {
        "app.level": "",
        "request.headers": "",
        "request.jwt.claims": '{"role": "anon"}',
    }


def test_placeholders_are_found_and_filled_in_each_text() -> None:
    declared = Caller(
        "authenticated",
        {"sub": "$USER_A", "app": {"team": ["$team"]}, "is_anonymous": False},
        {"$header": "${guest_hex}"},
        {"app.id": "$team"},
    )
    assert declared.placeholders() == {"user_a", "team", "header", "guest"}
    texts = {"USER_A": "U", "team": "t", "header": "x-id", "guest_hex": "0f"}
    assert declared.filled(texts) == Caller(
        "authenticated",
        {"sub": "U", "app": {"team": ["t"]}, "is_anonymous": False},
        {"x-id": "0f"},
        {"app.id": "t"},
    )


def test_unknown_placeholder_is_an_error() -> None:
    with pytest.raises(KeyError):
        Caller("anon", {"sub": "$nobody"}).filled({})


def test_value_of_a_generated_caller_may_contain_a_dollar() -> None:
    assert '"$5"' in Caller("anon", {"price": "$5"}).all_settings()["request.jwt.claims"]


def test_description_names_what_the_request_has() -> None:
    assert str(Caller("anon")) == "anon"
    assert str(SIGNED_IN) == (
        """authenticated, claims {"sub": "1"}, headers {"X-Tenant": "a"}, app.level = '2'"""
    )


def test_equal_callers_are_one_key() -> None:
    assert len({SIGNED_IN, Caller(**vars(SIGNED_IN))}) == 1
