"""The result of `mutate --run` as JUnit XML: a test case for each mutant that counts; a survivor is
a failure.
"""

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from supabase_jobs.findings import SuiteMutant, SuiteMutation
from supabase_jobs.report.junit import as_text, printable


def mutation(result: SuiteMutation) -> str:
    """The XML, to be encoded as UTF-8. Equivalent, untested and rejected mutants are skipped with
    the reason.
    """
    xml = JUnitXml("supabase-jobs mutate")
    for kind in dict.fromkeys(m.kind for m in result.mutants):
        suite = TestSuite(kind)
        for mutant in result.mutants:
            if mutant.kind == kind:
                suite.add_testcase(_case(mutant))
        xml.add_testsuite(suite)
    return as_text(xml, result.seconds)


def _case(mutant: SuiteMutant) -> TestCase:
    case = TestCase(
        printable(mutant.id),
        classname=printable(f"mutate.{mutant.object}"),
        time=round(mutant.seconds, 3),
    )
    if mutant.state == "survived":
        failure = Failure(printable(mutant.sentence), "survived")
        failure.text = printable("\n".join([mutant.sql, mutant.note, *mutant.tests.values()]))
        case.result = [failure]
    elif mutant.state == "equivalent":
        case.result = [Skipped("the fault changes nothing for any caller", "equivalent")]
    elif mutant.state == "untested":
        case.result = [Skipped(printable(mutant.note), "untested")]
    elif mutant.state == "rejected":
        case.result = [Skipped(printable("; ".join(mutant.by)), "rejected")]
    return case
