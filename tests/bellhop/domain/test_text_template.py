"""What a team may write in a template, and that no template can grow, whatever it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.domain import text_template
from bellhop.domain.text_template import FILTERS, InvalidTemplate, TextTemplate

KNOWN = ("call.name", "call.custom.items", "caller.name", "receiver.language")
LONGEST = 255
VALUES = {
    "call": {"name": "Review", "custom": {"items": "12"}},
    "caller": {"name": "Sara"},
    "receiver": {"language": "de"},
}


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("{{ caller.name }} calls", "Sara calls"),
        (" plain text ", "plain text"),
        ("{{ call.custom.items }} {{ call.custom['items'] }}", "12 12"),
        ("{% if receiver.language in ['de', 'at'] %}Anruf{% else %}Call{% endif %}", "Anruf"),
        ("{{ 'ja' if receiver.language == 'de' and not call.name == '' else 'no' }}", "ja"),
        ("{{ caller.name|upper ~ '/' ~ (call.name|truncate(3, true, '', 0)) }}", "SARA/Rev"),
        ("https://a.example/{{ call.name|urlencode }}", "https://a.example/Review"),
        ("{# a note #}{{ '' | default(caller.name, true) }}", "Sara"),
    ],
)
def test_a_template_writes_values_and_chooses(source, written):
    assert TextTemplate(source, KNOWN).render(VALUES) == written


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ 'a' * 10**9 }}", "uses arithmetic"),
        ("{{ 'a' + 'b' }}", "to join texts, write ~"),
        ("{{ '%999999999d' % 1 }}", "uses arithmetic"),
        ("{{ range(10**9) }}", "uses a call"),
        ("{{ caller.name.format() }}", "uses a call"),
        ("{{ 'a'|center(10000000) }}", "uses the filter center; available are capitalize,"),
        ("{{ 'a'|replace('a', 'aa') }}", "uses the filter replace"),
        ("{% for x in [1, 2] %}{% endfor %}", "uses a loop"),
        ("{% set x = 'a' %}{{ x ~ x }}", "uses a variable"),
        ("{% macro m() %}{% endmacro %}", "uses Jinja's macro"),
        ("{% include 'other' %}", "uses Jinja's include"),
        ("{{ caller is defined }}", "uses a test with `is`"),
        ("{{ 1 < 2 }}", "may compare only with ==, !=, in and not in"),
        ("{{ caller.name[:3] }}", "may read values by their names only"),
        ("{{ caller.nam }}", "uses caller.nam, which does not exist; did you mean caller.name?"),
        ("{{ caller.__class__ }}", "uses caller.__class__, which does not exist"),
        ("{{ call.custom.secret }}", "uses call.custom.secret, which does not exist"),
        ("{{ caller.name", "is not a valid template: unexpected end of template"),
        ("x" * 1_001, "has 1001 characters; a template may have 1000"),
    ],
)
def test_what_could_grow_or_does_not_exist_is_refused(source, why):
    with pytest.raises(InvalidTemplate) as refused:
        TextTemplate(source, KNOWN)
    assert why in str(refused.value)


def test_a_mistake_names_its_line_in_the_template():
    with pytest.raises(InvalidTemplate) as refused:
        TextTemplate("{{ caller.name }}\n\n{{ nobody }}", KNOWN)
    assert refused.value.line == 3


def test_a_result_is_cut():
    long = {**VALUES, "caller": {"name": "n" * LONGEST}}
    assert len(TextTemplate("{{ caller.name }}" * 20, KNOWN).render(long)) == 1_000


atoms = st.sampled_from([*KNOWN, "'a'", "''", "7", "999999999", "'ŉß'", "[caller.name]", "nobody", "call"])
filters = st.sampled_from([*sorted(FILTERS), "center(9999999)", "truncate(999999999)", "default('é')", "join('a')"])
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("({}|{})".format, inner, filters),
        st.builds("({} {} {})".format, inner, st.sampled_from(["~", "*", "+", "**", "%", "in", "==", "<"]), inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}({})".format, inner, inner),
    ),
    max_leaves=12,
)
pieces = st.one_of(
    st.builds("{{{{ {} }}}}".format, expressions),
    st.builds("{{% if {} %}}".format, expressions),
    st.sampled_from(["{% endif %}", "{% else %}", "{% for x in 'aaa' %}", "{% endfor %}", "{% set x = 'a' %}", "a"]),
    st.text(max_size=8),
)
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=LONGEST) | st.just("ŉ" * LONGEST)


@given(source=st.lists(pieces, max_size=8).map("".join), value=values)
def test_no_template_writes_more_than_its_parts(source, value):
    """Of each value it writes at most what encoding it for a URL makes of it, once for each time it is named."""
    text_template.MOST_RESULT, most = 10**9, text_template.MOST_RESULT
    try:
        result = TextTemplate(source, KNOWN).render({part: _Same(value) for part in ("call", "caller", "receiver")})
    except (InvalidTemplate, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError):
        return
    finally:
        text_template.MOST_RESULT = most
    assert len(result) <= 100 * len(source) + 40 * LONGEST * (1 + source.count("name") + source.count("receiver"))


class _Same(dict):
    """Has the same text, or itself, under every name."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def __getitem__(self, name):
        return self if name == "custom" else self.value
