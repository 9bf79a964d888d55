"""How long a ring takes while 3,000 notices wait for the same provider, and alone: python -m bench.notices

One channel with as many places as there are connections to Google, a provider that answers after 100 ms, and the real
path of a push (`deliver`) with a fence that allows everything. What is compared is the waiting, not processor time.
"""

import asyncio
import time

from bellhop.clock import Seconds, micros
from bellhop.domain.device import Device, Environment, Kind, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.push import Push, PushKind
from worker.delivery.attempt import deliver
from worker.delivery.fence import Admission, Fence, Record
from worker.delivery.provider_channel import ProviderChannel

NOTICES, RINGS, RING_EVERY_S, ANSWER_S, PLACES = 3_000, 60, 0.03, 0.1, 128


class Slow:
    """A provider that accepts everything after a while."""

    async def prepare(self, environment: Environment, within_s: float) -> None:
        pass

    async def send(self, push: Push, timeout_s: float, start_s: float = 0.0) -> AttemptResult:
        await asyncio.sleep(ANSWER_S)
        return AttemptResult(Outcome.ACCEPTED, 200, "", push.id)

    async def close(self) -> None:
        pass


class Allowing(Fence):
    """A fence that allows everything."""

    def __init__(self) -> None:
        pass

    async def admit(self, push: Push, attempt_s: float) -> Admission:
        return Admission(None, Seconds(time.monotonic()), Seconds(30.0))

    async def write(self, record: Record) -> None:
        pass


def push_of(kind: PushKind, number: int) -> Push:
    token = f"{kind}-{number}"
    device = Device(user_id="ben", provider=Provider.FCM, kind=Kind.ALERT, token=token, app="calls")
    return Push(id=token, kind=kind, device=device, payload={}, deadline=micros(Seconds(time.time() + 60)))


async def p99_s(notices: int) -> float:
    channel = ProviderChannel(Slow(), "fcm calls", PLACES)

    async def send(kind: PushKind, number: int) -> float:
        began = time.monotonic()
        await deliver(push_of(kind, number), {(Provider.FCM, "calls"): channel}, Allowing())
        return time.monotonic() - began

    crowd = [asyncio.create_task(send(PushKind.MISSED, number)) for number in range(notices)]
    rings = []
    for number in range(RINGS):
        await asyncio.sleep(RING_EVERY_S)
        rings.append(asyncio.create_task(send(PushKind.RING, number)))
    took = sorted(await asyncio.gather(*rings))
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    return took[len(took) * 99 // 100]


async def main() -> None:
    alone, amid = await p99_s(0), await p99_s(NOTICES)
    print(
        f"p99 of a ring: {alone * 1000:.0f} ms alone, {amid * 1000:.0f} ms amid {NOTICES} notices: {amid / alone:.2f}x"
    )


if __name__ == "__main__":
    asyncio.run(main())
