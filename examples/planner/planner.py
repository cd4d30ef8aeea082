#!/usr/bin/env python3
"""A planner in standard-library Python: it takes the place of DataHammer's own while it is there.

    python3 examples/planner/planner.py --store .datahammer

It wants few steps, whatever they cost: for every key the task that needs the fewest others before it. What it
answers is checked, and the steps are written by the daemon; an answer that is wrong comes back with its errors
under `refused` (docs/planner.md).
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../python-agent"))
from agent import main  # noqa: E402


def way(question, want):
    """The tasks that lead to the wanted keys, each after those that it rests on; None: there is no way."""
    tasks = [dict(task, role=card["role"]) for card in question["roles"] for task in card["tasks"]]
    banned = {(one["role"], one.get("task")) for one in question.get("situation", {}).get("excluded", [])}
    tasks = [one for one in tasks if not banned & {(one["role"], one["name"]), (one["role"], None)}]
    given = {key for task in tasks for key in task["gives"]}
    there = {key for key, value in question["environment"].items() if value is not None}
    there |= set(question["large"]) | (set(question["inputs"]) - given)
    for step in question.get("situation", {}).get("steps", []):
        if step["state"] == "running":
            there |= set(step["outputs"])
    steps, by = {key: 0 for key in there}, {}
    changed = True
    while changed:
        changed = False
        for task in tasks:
            if not all(key in steps for key in task["needs"]):
                continue
            number = 1 + sum(steps[key] for key in task["needs"])
            for key in task["gives"]:
                if number < steps.get(key, float("inf")):
                    steps[key], by[key], changed = number, task, True
    if not all(key in steps for key in want):
        return None
    chosen = []

    def take(key):
        task = by.get(key)
        if key in there or task in chosen:
            return
        for need in task["needs"]:
            take(need)
        if task not in chosen:
            chosen.append(task)

    for key in want:
        take(key)
    return chosen


def propose(inputs, ctx):
    """Proposes the way with few steps."""
    if inputs["refused"] or not inputs["want"]:
        return {}  # the daemon's own planner shall do it
    chosen = way(inputs, inputs["want"])
    if not chosen:
        return {}
    steps = [{"id": "s%d" % at, "agent": task["role"], "task": task["name"]} for at, task in enumerate(chosen)]
    return {"workflow": {"steps": steps}, "reason": "%d steps" % len(steps)}


if __name__ == "__main__":
    sys.exit(main({"plan": propose, "replan": propose, "recover": propose}, default_role="planner"))
