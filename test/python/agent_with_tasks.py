"""The example agent with tasks that misbehave on purpose."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../examples/python-agent"))
from agent import Handoff, NonRetryableError, count, main  # noqa: E402


def said(event, **more):
    print(json.dumps(dict(more, event=event)), flush=True)


def busy(inputs, ctx):
    said("ran", step=ctx.step)
    until = time.monotonic() + inputs["seconds"]
    while time.monotonic() < until:
        pass
    return {"pid": os.getpid()}


def until_cancelled(inputs, ctx):
    said("ran", step=ctx.step)
    ctx.cancelled.wait()
    ctx.check()


def until_told(inputs, ctx):
    said("ran", step=ctx.step)
    sys.stdin.readline()
    return {"told": True}


def fail(inputs, ctx):
    raise {"final": NonRetryableError, "plain": ValueError}[inputs["how"]]("it went wrong")


def give(inputs, ctx):
    if inputs["what"] == "list":
        return [1]
    return {"value": {"nan": float("nan"), "object": object(), "large": "x" * 9_000_000}[inputs["what"]]}


def hand_over(inputs, ctx):
    return Handoff("expert", "solve", {"hard": True}, "too hard")


TASKS = {
    "count": count,
    "busy": busy,
    "until_cancelled": until_cancelled,
    "until_told": until_told,
    "fail": fail,
    "give": give,
    "hand_over": hand_over,
}

sys.exit(main(TASKS))
