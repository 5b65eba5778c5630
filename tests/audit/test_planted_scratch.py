import time, os
from dataclasses import replace
import pytest
from tests.audit.catalogue import names, project
from tests.audit.conftest import run_audit
from supabase_jobs.audit.audit import Options, audit
from supabase_jobs.audit.baseline import wider
from supabase_jobs.findings import Severity

BASE = os.environ.get("BASE") == "1"


@pytest.mark.parametrize(
    ("project", "fault", "name"),
    [pytest.param(n, f, n, id=f"{n}: {f.name}") for n in names() for f in project(n).faults],
    indirect=["project"],
)
def test_planted(project, fault, name, unmodified):
    before = unmodified(name)
    project.execute(fault.sql.encode())
    t = time.time()
    accepted = [f.id for f in before.findings if f.severity is not Severity.INFO]
    result = audit(project, Options(accepted=before.access if BASE else None, intended=accepted))
    took = time.time() - t
    out = open("/tmp/planted.txt", "a")
    from supabase_jobs.audit.baseline import Baseline, apply

    if BASE:
        result = apply(
            result,
            Baseline(before.access, before.functions, dict.fromkeys(accepted, "x")),
            strict=False,
            narrowed=False,
        )
    fixes = list(
        dict.fromkeys(
            f.fix for f in result.findings if f.proven and f.severity is not Severity.INFO
        )
    )
    for fix in fixes:
        project.execute(fix.encode())
    after = run_audit(project)
    more = [str(x) for x in wider(after.access, before.access)]
    less = [str(x) for x in wider(before.access, after.access)]
    ok = not more and not less
    fault_there = after.functions != before.functions
    print(
        f"{'OK ' if ok else 'BAD'} {name}: {fault.name} ({took:.1f}s, audit alone {after.milliseconds / 1000:.1f}) fixes={len(fixes)} functions={fault_there}",
        file=out,
    )
    if not ok or not fixes:
        print("   more", more[:6], "\n   less", less[:6], file=out)
        for f in result.findings:
            if f.severity is not Severity.INFO:
                print(
                    "   ",
                    f.severity,
                    f.id,
                    "|",
                    f.cause,
                    "\n       ",
                    f.fix.replace("\n", "\n        "),
                    file=out,
                )
    out.close()
