"""What counting, a log line and a span that is switched off cost for one ring of one device, in µs."""

import io
import time
from collections.abc import Callable
from contextlib import redirect_stderr

import structlog

from bellhop.clock import Micros, Seconds, micros
from bellhop.domain.device import Device, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.push import Push, PushKind
from bellhop.telemetry import logs, metrics, tracing
from bellhop.telemetry.correlation import picked_up

ROUNDS = 20_000


def main() -> None:
    device = Device(user_id="ben", provider=Provider.APNS, token="ab" * 32, app="com.example")
    push = Push(
        id="", kind=PushKind.RING, device=device, payload={}, deadline=Micros(0), queued_at=micros(Seconds(time.time()))
    )
    answer = AttemptResult(Outcome.ACCEPTED, 200)

    def web() -> None:
        metrics.INTAKE.observe(Seconds(0.002))
        metrics.WEBHOOKS.add("call.ring", "taken")
        metrics.WEBHOOK_AGE.observe(Seconds(0.1), "call.ring")

    def worker() -> None:
        metrics.QUEUE_WAIT.observe(Seconds(0.002), "rings")
        metrics.FENCE.observe(Seconds(0.001))
        metrics.attempted(push, answer, Seconds(0.01), micros(Seconds(time.time())))
        metrics.finished(push.kind, device, answer.outcome)

    def job() -> None:
        with picked_up("rings", "worker.jobs.ring", {"webhook": "f" * 32}, Micros(0)), tracing.span("attempt") as facts:
            facts |= {"outcome": "accepted"}

    with redirect_stderr(io.StringIO()):
        logs.configure("json", "info")
        log = structlog.get_logger()

        def line() -> None:
            log.info("pushed", kind="ring", cid="default:6f0b1c52", accepted=1)

        figures = {
            name: per_round(run) for name, run in {"web": web, "worker": worker, "job": job, "line": line}.items()
        }
    print(f"counting, web process      {figures['web']:6.2f} µs a webhook")
    print(f"counting, worker           {figures['worker']:6.2f} µs a push and its job")
    print(f"log context and spans, off {figures['job']:6.2f} µs a job")
    print(f"one log line               {figures['line']:6.2f} µs")


def per_round(run: Callable[[], None]) -> float:
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(ROUNDS):
            run()
        best = min(best, time.perf_counter() - began)
    return best / ROUNDS * 1e6


if __name__ == "__main__":
    main()
