"""The OpenAPI document says what the running service does; schemathesis looks for a request that proves otherwise."""

import asyncio
import os
import sys
from pathlib import Path

import jwt
import pytest
import pytest_asyncio

from bellhop.domain.announcement import AnnouncementType
from bellhop.sandbox.installation import API_KEY, Installation
from webhook.api_errors import ApiErrorKind

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "a-secret-that-pyjwt-finds-long-enough"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    settings = {"STREAM_API_SECRET": SECRET, "RECEIPT_SECRET": SECRET, "USER_CALLS": "true"}
    async with Installation(tmp_path_factory.mktemp("installation"), settings) as installation:
        yield installation


@pytest.mark.timeout(660)
async def test_no_request_gets_an_answer_that_is_not_in_the_document(installation, tmp_path):
    token = jwt.encode({"server": True}, SECRET, "HS256")
    process = await asyncio.create_subprocess_exec(
        *(
            Path(sys.executable).with_name("schemathesis"),
            f"--config-file={Path(__file__).parent / 'schemathesis.toml'}",
        ),
        *("run", f"{installation.url}/v1/openapi.json"),
        *("--seed=1", "--max-examples=20", "--generation-database=none", "--no-color"),
        *("-H", f"Authorization: Bearer {token}", "-H", f"X-Api-Key: {API_KEY}"),
        cwd=tmp_path,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 600)
    assert process.returncode == 0, output.decode()
    assert "18 selected" in output.decode()
    assert "Traceback" not in installation.log("web")


async def test_the_document_lists_every_operation_with_its_problems(installation):
    async with installation.http.get(f"{installation.url}/v1/openapi.json") as response:
        assert response.status == 200
        document = await response.json()
    assert document["openapi"].startswith("3.1")
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == {
        "GET /v1/users/{user_id}/devices",
        "POST /v1/users/{user_id}/devices",
        "DELETE /v1/users/{user_id}/devices/{device_id}",
        "GET /v1/users/{user_id}/contact",
        "PUT /v1/users/{user_id}/contact",
        "GET /v1/users/{user_id}/preferences",
        "PUT /v1/users/{user_id}/preferences",
        "GET /v1/users/{user_id}/reachability",
        "DELETE /v1/users/{user_id}",
        "GET /v1/users/{user_id}/export",
        "POST /v1/users/{user_id}/test-ring",
        "GET /v1/users/{user_id}/test-ring/{test_id}",
        "GET /v1/users/{user_id}/calls",
        "POST /v1/users/{user_id}/calls/seen",
        "GET /v1/calls/{cid}",
        "GET /v1/calls/{cid}/live",
        "GET /v1/web-push/key",
        "POST /v1/receipts",
    }
    assert set(document["webhooks"]) == {*AnnouncementType}
    for name, operation in operations.items():
        assert operation["summary"]
        assert set(operation["tags"]) <= {tag["name"] for tag in document["tags"]}
        if "/users/" not in name:
            continue
        assert {"401", "403", "404", "503"} <= set(operation["responses"])
        assert ("429" in operation["responses"]) is not operation["operationId"].startswith(("list", "read"))


async def test_every_problem_has_a_name_of_its_own_and_is_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "people.md").read_text()
    for problem in ApiErrorKind:
        assert f"| `{problem.type.rpartition(':')[2]}` | {problem.status} | {problem.title} |" in page
    assert len({problem.type for problem in ApiErrorKind}) == len(ApiErrorKind)
