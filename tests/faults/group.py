"""Runs one group of faults. The script `run` calls it with the group, the folder of the programs,
and a file for the results."""

import asyncio
import json
import signal
import sys
from dataclasses import asdict

import behind
import cases
import files
import names
from judge import Judge
from stand import Stand, steady

GROUPS = {case.__name__: case for case in [*cases.ALL, *behind.ALL, files.pictures, names.resolver, names.cable]}


async def group(name, binaries, output, long):
    stand, judge = Stand(name, binaries), Judge()
    trial = cases.Trial(stand, judge)
    problem = None
    # An error in a callback must fail the group, too.
    failures = []
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    loop.set_exception_handler(lambda _, context: failures.append(context))

    def stop():
        # A second signal must not interrupt the clean-up.
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        if hasattr(GROUPS[name], "before"):
            await GROUPS[name].before(stand, judge.seen)
        else:
            await stand.start(judge.seen)
        judge.vendor = stand.vendor
        beating = asyncio.create_task(trial.pulse.run())
        await GROUPS[name](trial, long)
        beating.cancel()
        for context in failures:
            raise RuntimeError(context["message"]) from context.get("exception")
    except Exception as error:  # Told in the table, with what the programs have said.
        problem = f"{type(error).__name__}: {error}"
        raise
    finally:
        try:
            await stand.end()
        finally:
            if hasattr(GROUPS[name], "after"):
                await GROUPS[name].after(stand)
        said = {log.stem: log.read_text(errors="replace") for log in stand.folder.glob("*.log")}
        rows = [asdict(row) for row in trial.rows]
        with open(output, "w") as file:
            result = {"rows": rows, "outages": trial.outages, "unread": judge.unread}
            json.dump(result | {"problem": problem, "said": said}, file)
        stand.clean()


if __name__ == "__main__":
    steady(1)
    asyncio.run(group(*sys.argv[1:4], long="--long" in sys.argv))
