"""Runs one group of faults; called by `run` with the group, the folder of the programs, and a file
for what came of it."""

import asyncio
import json
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
    # What goes wrong in a callback is no less wrong.
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
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
        await stand.end()
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
