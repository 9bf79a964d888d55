"""Runs the job of a ring: it rings all devices at once, and then some of them again, if the settings switch that on.

The waiting belongs to the job. If the worker dies, another worker takes the job over and goes on.
"""

import asyncio
from collections.abc import Sequence

from bellhop.domain.push import Push, PushKind
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store.scripts import Command
from worker.delivery.alert_rings import AlertRings
from worker.delivery.fan_out import DeliveryTools, FanOut
from worker.delivery.silent_phones import SecondWay
from worker.queue.concurrency_limit import waiting_without_place


async def run_ring(tools: DeliveryTools, round_: QueuedRound) -> Sequence[Command]:
    """Ring all devices, then wait, and ring some phones again. Returns the same as `Jobs.ring`."""
    alerts, silent = AlertRings(tools, round_), SecondWay(tools, round_)

    def note_rung(push: Push) -> None:
        if push.device.rings_by_alert and tools.alert_ring_every_us:
            alerts.note_rung(push)
        elif tools.second_way_after_us:
            silent.note_rung(push.device)

    fan_out = FanOut(tools, PushKind.RING, round_, note_sent=note_rung)
    try:
        await fan_out.run()
        if alerts.has_phones or silent.waits:
            with waiting_without_place():
                await asyncio.gather(alerts.finish(), silent.finish())
            await fan_out.write_records()  # it raises if Redis refused a record during the wait
    finally:
        # Without such phones, nothing may wait here: the last records are then written with the end of the job.
        if alerts.has_phones or silent.waits:
            await asyncio.gather(alerts.cancel(), silent.cancel())
    return fan_out.last_records()
