"""`make api-clients`: makes typed clients from the OpenAPI document, and checks them (README.md).

.venv/bin/python tests/api_clients/check.py TOOLS

TOOLS is the folder of the commands of a virtual environment with requirements-clients.lock.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

import jwt

from bellhop.sandbox.installation import API_KEY, Installation

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
SECRET = "a-secret-that-pyjwt-finds-long-enough"
TSC = ("--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--skipLibCheck")
TSC += ("--target", "es2023", "--module", "nodenext", "--types", "node")


async def run(*command, cwd):
    process = await asyncio.create_subprocess_exec(
        *map(str, command), cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{output.decode()}")


async def check_python(tools, folder, *arguments):
    generate = ("generate", "--path", "openapi.json", "--meta", "none", "--output-path", "bellhop_client")
    await run(
        tools / "openapi-python-client", *generate, "--config", HERE / "generator.yaml", "--fail-on-warning", cwd=folder
    )
    (folder / "call_api.py").write_text((HERE / "call_api.py").read_text())
    of_tools = ("--python-executable", tools / "python", "--cache-dir", folder / "mypy_cache")
    mypy = (Path(sys.executable).with_name("mypy"), "--strict", "--config-file", "", *of_tools)
    await run(*mypy, "call_api.py", "bellhop_client", cwd=folder)
    await run(tools / "python", "call_api.py", *arguments, cwd=folder)


async def check_typescript(folder, *arguments):
    (folder / "package.json").write_text((HERE / "package.json").read_text())
    (folder / "node_modules").symlink_to(MODULES)
    (folder / "call_api.ts").write_text((HERE / "call_api.ts").read_text())
    # Without the option, a field of a body that has a default could not be left out.
    options = ("--default-non-nullable", "false", "--output", "schema.d.ts")
    await run(MODULES / ".bin" / "openapi-typescript", "openapi.json", *options, cwd=folder)
    await run(MODULES / ".bin" / "tsc", *TSC, "call_api.ts", cwd=folder)
    await run("node", "call_api.js", *arguments, cwd=folder)


async def main(tools, folder):
    settings = {"STREAM_API_SECRET": SECRET, "USER_CALLS": "true"}
    (folder / "bellhop").mkdir()
    async with Installation(folder / "bellhop", settings) as installation:
        async with installation.http.get(f"{installation.url}/v1/openapi.json") as response:
            (folder / "openapi.json").write_text(json.dumps(await response.json()))
        tokens = (jwt.encode(claims, SECRET, "HS256") for claims in ({"server": True}, {"user_id": "jane"}))
        arguments = (installation.url, API_KEY, *tokens)
        await asyncio.gather(check_python(tools, folder, *arguments), check_typescript(folder, *arguments))
    print("api-clients: the Python client and the TypeScript client compile, and call a running Bellhop")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        try:
            asyncio.run(main(Path(sys.argv[1]).absolute(), Path(temporary)))
        except RuntimeError as error:
            sys.exit(str(error))
