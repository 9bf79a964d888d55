"""Runs the job of a ring: it rings all devices at once, and then some of them again, if the settings switch that on.

The waiting belongs to the job. If the worker dies, another worker takes the job over and goes on.
"""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Sequence
from functools import partial

from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import PushKind
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store.keys import devices_key
from bellhop.store.scripts import Command
from worker.delivery.alert_rings import AlertRings
from worker.delivery.attempt import SENT, Delivered
from worker.delivery.fan_out import DeliveryTools, FanOut
from worker.delivery.silent_phones import SecondWay
from worker.queue.concurrency_limit import waiting_without_place


async def run_ring(tools: DeliveryTools, round_: QueuedRound) -> Sequence[Command]:
    """Ring all devices, then wait, and ring some phones again. Returns the same as `Jobs.ring`."""
    alerts = AlertRings(tools, round_)
    # By the server that has the users: while one is away, the phones of the others do not wait for it.
    silent = defaultdict[Hashable, SecondWay](partial(SecondWay, tools, round_))

    def note_result(result: Delivered) -> None:
        device, outcome = result.push.device, result.outcome
        if device.rings_by_alert and tools.alert_ring_every_us:
            answers_lost = outcome is Outcome.GAVE_UP and result.unknown
            if outcome in SENT or answers_lost:
                alerts.note_rung(result.push)
        elif tools.second_way_after_us and outcome in SENT:
            server = tools.store.server_of_key(devices_key(round_.tenant, device.user_id))
            silent[server].note_rung(device)

    def waits() -> bool:
        return alerts.has_phones or any(second_way.waits for second_way in silent.values())

    fan_out = FanOut(tools, PushKind.RING, round_, note_result=note_result)
    try:
        await fan_out.run()
        if waits():
            with waiting_without_place():
                await asyncio.gather(alerts.finish(), *(second_way.finish() for second_way in silent.values()))
            await fan_out.write_records()  # it raises if Redis refused a record during the wait
    finally:
        # Without such phones, nothing may wait here: the last records are then written with the end of the job.
        if waits():
            await asyncio.gather(alerts.cancel(), *(second_way.cancel() for second_way in silent.values()))
    return fan_out.last_records()
