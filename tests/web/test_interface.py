"""The whole interface as its own description has it, asked with whatever fits it and whatever does not."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OURS = "^/(api|health|ready|metrics)"


@pytest.mark.parametrize("modes", ["positive", "negative"])
def test_every_route_keeps_to_its_description(face, modes):
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", face.client().app)
    faults = []
    operations = [found.ok() for found in schema.include(path_regex=OURS).get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        mode = schemathesis.GenerationMode(modes)
        if modes == "negative" and not (operation.path_parameters or operation.query or operation.body):
            continue  # nothing can be wrong

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=6,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case):
            answer = case.call(headers=face.bearer("review"))
            if answer.status_code == 503 and case.path == "/ready":
                return  # this small world is not
            case.validate_response(answer, checks=CHECKS)

        try:
            ask()
        except BaseExceptionGroup as group:
            faults += [f"{operation.label}: {fault}" for fault in group.exceptions]
        except Exception as fault:
            faults.append(f"{operation.label}: {fault!r}")
    assert not faults, "\n\n".join(map(str, faults))
