"""Whole rings beside Node, from Stream's webhook to the push's arrival: CPU, latency and rate, in alternating bursts.

The Node peer (bench/node_peer: Express, BullMQ, node-apn, FCM by fetch) is what teams usually write: it has no call
state, no fence before a push and no trail. It is installed from npm. Each side has one web process, one worker and a
Redis of its own; the stand-ins for Apple and Google are the same. All of them, and the load, share the machine.

    python -m bench.beside_node [--pairs 12] [--rings 400]
"""

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import aiohttp

from bellhop.sandbox.child_process import end_with_parent
from bellhop.sandbox.installation import BUNDLE, SECRET
from bench.compare import Version, take_turns
from bench.intake import node_peer
from bench.machine import calibrate, noise, told
from bench.whole import ROOT, stored_devices


class NodePeer(Version):
    """The peer's processes, with the stand-ins of an installation."""

    def start(self, command: str, name: str = "") -> None:
        node, web = node_peer()
        name = name or command
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [node, str(Path(web).with_name(f"{command}.js"))],
                env=self._node_environment(),
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - it makes only one system call
            )

    def _node_environment(self) -> dict[str, str]:
        ours = self.environment()
        same = {name: ours[f"BELLHOP_{name}"] for name in ("APNS_URL", "APNS_KEY_FILE", "APNS_KEY_ID", "APNS_TEAM_ID")}
        both = self.folder / "authorities.pem"
        both.write_text("".join(Path(ours[f"BELLHOP_{name}_CA_FILE"]).read_text() for name in ("APNS", "FCM")))
        return os.environ | same | {
            "NODE_ENV": "production",
            "NODE_EXTRA_CA_CERTS": str(both),
            "REDIS_URL": self.redis.url,
            "STREAM_SECRET": SECRET,
            "PORT": str(self.port),
            "APNS_TOPIC": BUNDLE,
            "FCM_URL": ours["BELLHOP_FCM_URL"],
            "SERVICE_ACCOUNT": ours["BELLHOP_FCM_SERVICE_ACCOUNT_FILE"],
        }  # fmt: skip

    async def ready(self) -> None:
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            with contextlib.suppress(aiohttp.ClientError):
                async with self.http.get(self.url):
                    return
            await asyncio.sleep(0.05)
        raise RuntimeError("the Node peer does not answer:\n" + self.log("web")[-2000:])

    async def know_people(self) -> None:
        await self.store.client.mset(stored_devices())

    async def suspend(self) -> None:
        self.processes["worker-1"].send_signal(signal.SIGSTOP)

    async def resume(self) -> None:
        self.processes["worker-1"].send_signal(signal.SIGCONT)


async def main(pairs: int, rings: int) -> None:
    print(told())
    seen = calibrate()
    async with contextlib.AsyncExitStack() as stack:
        sides: list[Version] = []
        for side in (NodePeer, Version):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            sides.append(await stack.enter_async_context(side(ROOT, folder)))
        print("\nother: the Node peer; this: Bellhop")
        nodes, ours = sides
        await take_turns(nodes, ours, pairs, rings)
    print(f"\n{noise(seen + calibrate())}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pairs", type=int, default=12)
    arguments.add_argument("--rings", type=int, default=400)
    given = arguments.parse_args()
    asyncio.run(main(given.pairs, given.rings))
