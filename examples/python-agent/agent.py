#!/usr/bin/env python3
"""A DataHammer agent in one file of standard-library Python (3.8 or newer).

It serves the role `words` over NATS, speaking JSON (docs/protocol.md), beside a daemon (`datahammer up`):

    python3 examples/python-agent/agent.py --store .datahammer

or name the broker: --nats nats://HOST:PORT --token TOKEN (or nats://USER:PASSWORD@HOST:PORT). To make an
agent of your own, import `Agent` from this file and give it a dictionary of functions:
task name -> function(inputs, ctx) -> outputs.

What it does not do: TLS, credentials files, MessagePack, claim-checked inputs (values above 256 KiB).
"""
import argparse
import json
import os
import queue
import signal
import socket
import sys
import threading
import time
import urllib.parse
import uuid

MAX_DELIVERIES = 5  # a task delivered more often than this ends its agents: it is failed, not run
MAX_MESSAGE_BYTES = 4096  # of an error's text
PULL_SECONDS = 20
VERSION = "1.0.0"


class NonRetryableError(Exception):
    """Raised by a task: trying again cannot help."""


class Cancelled(Exception):
    """Raised by ctx.check() after somebody cancelled the dispatch."""


class Handoff:
    """Returned by a task to give its step to another role."""

    def __init__(self, role, task, inputs, reason, notes=None):
        self.body = {"role": role, "task": task, "inputs": inputs, "reason": reason}
        if notes is not None:
            self.body["notes"] = notes


# --- the tasks of this example -----------------------------------------------------------------------


def count(inputs, ctx):
    """Counts the words of a text."""
    text = inputs.get("text")
    if not isinstance(text, str):
        raise NonRetryableError("inputs.text: expected string, got %s" % type(text).__name__)
    words = text.split()
    ctx.progress(1.0, "%d words" % len(words))
    return {"words": len(words), "longest": max(words, key=len, default="")}


TASKS = {"count": count}


# --- NATS, as much of it as an agent needs -------------------------------------------------------------


class Unreachable(Exception):
    pass


class Nats:
    """One connection that mends itself. Callbacks run on its reading thread and must not block."""

    def __init__(self, url, token, name):
        parts = urllib.parse.urlsplit(url)
        self.address = (parts.hostname or "127.0.0.1", parts.port or 4222)
        self.token, self.user, self.password, self.name = token, parts.username, parts.password, name
        self.inbox = "_INBOX_%s.%s." % (name, uuid.uuid4().hex)
        self.max_payload = 1024 * 1024
        self.connected = threading.Event()
        self.on_reconnect = lambda: None
        self._lock = threading.RLock()
        self._socket = None
        self._subscriptions = {}
        self._waiting = {}
        self._next = 0
        self._closed = False
        self.subscribe(self.inbox + "*", self._answered)
        self._open()  # the first time it fails at once, so that a wrong address is told
        threading.Thread(target=self._run, daemon=True).start()

    def subscribe(self, subject, callback):
        with self._lock:
            self._next += 1
            self._subscriptions[self._next] = (subject, callback)
            if self.connected.is_set():
                self._send(b"SUB %s %d\r\n" % (subject.encode(), self._next))

    def publish(self, subject, body=b"", reply=None, headers=None):
        words = [subject] + ([reply] if reply else [])
        if headers:
            head = b"NATS/1.0\r\n" + b"".join(b"%s: %s\r\n" % (k.encode(), v.encode()) for k, v in headers.items())
            head += b"\r\n"
            line = "HPUB %s %d %d\r\n" % (" ".join(words), len(head), len(head) + len(body))
            self._send(line.encode() + head + body + b"\r\n")
        else:
            line = "PUB %s %d\r\n" % (" ".join(words), len(body))
            self._send(line.encode() + body + b"\r\n")

    def request(self, subject, body, seconds, headers=None):
        """The answer's body, or None when nobody answered in time."""
        answer = queue.Queue()
        with self._lock:
            self._next += 1
            inbox = self.inbox + str(self._next)
            self._waiting[inbox] = answer
        try:
            self.publish(subject, body, inbox, headers)
            status, payload = answer.get(timeout=seconds)
            return None if status else payload
        except (queue.Empty, Unreachable):
            return None
        finally:
            with self._lock:
                self._waiting.pop(inbox, None)

    def close(self):
        self._closed = True
        with self._lock:
            if self._socket:
                self._socket.close()

    def _answered(self, subject, _reply, status, body):
        with self._lock:
            answer = self._waiting.get(subject)
        if answer:
            answer.put((status, body))

    def _send(self, data):
        with self._lock:
            if not self._socket:
                raise Unreachable("not connected")
            try:
                self._socket.sendall(data)
            except OSError as error:
                raise Unreachable(str(error))

    def _open(self):
        connection = socket.create_connection(self.address, timeout=5)
        connection.settimeout(60)  # the server is pinged below; silence for a minute means that it is gone
        self._reader = connection.makefile("rb")
        info = json.loads(self._reader.readline().split(b" ", 1)[1])
        self.max_payload = info.get("max_payload", self.max_payload)
        hello = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
        hello.update(name=self.name, lang="python", version=VERSION, protocol=1)
        if self.token:
            hello["auth_token"] = self.token
        if self.user:
            hello.update(user=urllib.parse.unquote(self.user), **{"pass": urllib.parse.unquote(self.password or "")})
        with self._lock:
            self._socket = connection
            self._send(b"CONNECT %s\r\n" % json.dumps(hello).encode())
            for number, (subject, _callback) in self._subscriptions.items():
                self._send(b"SUB %s %d\r\n" % (subject.encode(), number))
            self._send(b"PING\r\n")
        while True:  # the PONG says that the server took the token and the subscriptions
            line = self._reader.readline()
            if line.startswith(b"PONG"):
                break
            if line.startswith(b"-ERR") or not line:
                connection.close()
                raise Unreachable("the server refused: %s" % (line.decode().strip() or "closed"))
        self.connected.set()

    def _run(self):
        threading.Thread(target=self._ping, daemon=True).start()
        pause = 0.25
        while not self._closed:
            try:
                if not self.connected.is_set():
                    self._open()
                    log("connected again")
                    pause = 0.25
                    threading.Thread(target=self.on_reconnect, daemon=True).start()
                self._read()
            except (OSError, ValueError, IndexError, Unreachable) as error:
                with self._lock:
                    self.connected.clear()
                    self._socket = None
                if not self._closed:
                    log("broker out of reach (%s)" % error)
                    time.sleep(pause)
                    pause = min(pause * 2, 5)

    def _ping(self):
        while not self._closed:
            time.sleep(20)
            try:
                self._send(b"PING\r\n")
            except Unreachable:
                pass  # the reading thread is already mending it

    def _read(self):
        while True:
            line = self._reader.readline()
            if not line:
                raise Unreachable("closed by the server")
            words = line.decode().split()
            if words[0] in ("MSG", "HMSG"):
                self._message(words)
            elif words[0] == "PING":
                self._send(b"PONG\r\n")
            elif words[0] == "-ERR":
                log("server: %s" % line.decode().strip())

    def _message(self, words):
        total = int(words[-1])
        payload = self._reader.read(total + 2)[:total]
        status = ""
        sizes = 1
        if words[0] == "HMSG":
            sizes = 2
            size = int(words[-2])
            status = payload[:size].split(b"\r\n", 1)[0][len(b"NATS/1.0") :].decode().strip()
            payload = payload[size:]
        reply = words[3] if len(words) == 4 + sizes else None
        with self._lock:
            subscription = self._subscriptions.get(int(words[2]))
        if subscription:
            subscription[1](words[1], reply, status, payload)


# --- the agent -----------------------------------------------------------------------------------------


class Context:
    """What a task may do while it runs."""

    def __init__(self, agent, task):
        self._agent, self._task = agent, task
        self.run, self.step, self.n = task["run"], task["step"], task["n"]
        self.attempt, self.idempotency_key = task["attempt"], task["idempotencyKey"]
        self.cancelled = threading.Event()
        self.ended = threading.Event()

    def progress(self, fraction, message=""):
        self._agent.live(self._task, "progress", fraction=fraction, message=message)

    def check(self):
        """Raises Cancelled once the dispatch is cancelled: call it between pieces of work."""
        if self.cancelled.is_set():
            raise Cancelled("cancelled")


class Agent:
    def __init__(self, nats, swarm, role, tasks):
        self.nats, self.swarm, self.role, self.tasks = nats, swarm, role, tasks
        self.id = nats.name
        self.ack_wait = 10.0
        self.started_at = now_ms()
        self.counts = {"running": 0, "done": 0, "failed": 0}
        self._stopping = threading.Event()
        self._deliveries = queue.Queue()
        self._pull_inbox = nats.inbox + "pull"
        self._current = {}

    def stop(self, *_signal):
        """Take no more work; what runs is finished. Safe in a signal handler."""
        self._stopping.set()

    def serve(self):
        self.nats.subscribe("dh.%s.cancel.%s.>" % (self.swarm, self.role), self._on_cancel)
        for verb in ("PING", "INFO", "STATS"):
            for tail in ("", ".datahammer-agent", ".datahammer-agent." + self.id):
                self.nats.subscribe("$SRV.%s%s" % (verb, tail), self._on_service)
        self.nats.subscribe(self._pull_inbox, lambda *delivery: self._deliveries.put(delivery))
        self.nats.on_reconnect = self.announce
        if not self.announce():
            return
        print(json.dumps({"event": "ready", "agents": [{"role": self.role, "id": self.id}], "pid": os.getpid()}), flush=True)
        while not self._stopping.is_set():
            self._pull()

    def announce(self):
        """Says hello until a daemon answers that the role has a JSON queue. False: stopped meanwhile."""
        tasks = [{"name": name, "description": (run.__doc__ or "").strip()} for name, run in self.tasks.items()]
        hello = {"v": 1, "id": self.id, "roles": [{"role": self.role, "tasks": tasks}], "encoding": "json"}
        said = None
        while not self._stopping.is_set():
            answer = self.nats.request("dh.%s.hello" % self.swarm, dump(hello), 1.0)
            problem = "no daemon answers yet"
            if answer:
                reply = json.loads(answer)
                problem = reply.get("error", "the daemon refused")
                for settings in reply.get("roles", []):
                    if settings["role"] != self.role:
                        continue
                    self.ack_wait = settings["ackWaitMs"] / 1000.0
                    if settings["encoding"] == "json":
                        return True
                    problem = "the queue of role %s is not JSON: run `datahammer roles add %s --encoding json`"
                    problem = problem % (self.role, self.role)
            if problem != said:
                log(problem)
                said = problem
            self._stopping.wait(1.0)
        return False

    def live(self, task, kind, **more):
        body = {"type": kind, "run": task["run"], "step": task["step"], "n": task["n"], "agent": self.id}
        subject = "dh.%s.live.%s.%s.%s" % (self.swarm, self.role, task["run"], task["step"])
        try:
            self.nats.publish(subject, dump(dict(body, **more)))
        except Unreachable:
            pass  # live messages are for who listens now

    def _pull(self):
        """Asks for one task and waits for it."""
        subject = "$JS.API.CONSUMER.MSG.NEXT.dh_%s_tasks.%s" % (self.swarm, self.role)
        try:
            self.nats.publish(subject, dump({"batch": 1, "expires": PULL_SECONDS * 10**9}), self._pull_inbox)
        except Unreachable:
            self._stopping.wait(0.25)
            return
        until = time.monotonic() + PULL_SECONDS + 2
        while time.monotonic() < until:
            try:
                _subject, reply, status, body = self._deliveries.get(timeout=0.2)
            except queue.Empty:
                if self._stopping.is_set() or not self.nats.connected.is_set():
                    return
                continue
            if status:  # 404, 408, 409: this request has ended; 503: the queue is not there
                if not status.startswith("100"):
                    self._stopping.wait(0.0 if status.startswith("408") else 0.25)
                    return
            elif self._stopping.is_set():
                self._say(reply, '-NAK {"delay": 1000000}')
                return
            else:
                self._deliver(body, reply)
                return

    def _deliver(self, body, reply):
        try:
            task = json.loads(body)
        except ValueError:
            log("a task that is no JSON was set aside")
            self._say(reply, "+TERM")
            return
        # $JS.ACK.<stream>.<consumer>.<deliveries>...; newer servers put domain and account before the stream.
        tokens = reply.split(".")
        deliveries = int(tokens[6] if len(tokens) >= 11 else tokens[4])
        held = threading.Event()
        threading.Thread(target=self._keep, args=(reply, held), daemon=True).start()
        try:
            if self.id in task.get("avoid", []) and deliveries <= 2:  # it failed here: another may take it
                self._say(reply, '-NAK {"delay": %d}' % (deliveries * 10**8))
                return
            if deliveries > 1 and self._is_closed(task):
                self._say(reply, "+ACK")
                return
            self._publish_result(task, self._result(task, deliveries))
            self._say(reply, "+ACK")  # only now: the result is stored
        finally:
            held.set()

    def _keep(self, reply, released):
        """Tells the broker that the task is in progress, from a thread that the task cannot block."""
        while not released.wait(self.ack_wait / 3):
            self._say(reply, "+WPI")

    def _is_closed(self, task):
        subject = "dh.%s.ask.%s" % (self.swarm, dispatch_tail(self.role, task))
        answer = self.nats.request(subject, dump({"q": "open"}), 2.0)
        return answer is not None and json.loads(answer).get("open") is False

    def _result(self, task, deliveries):
        started = now_ms()
        result = {"v": 1, "run": task["run"], "step": task["step"], "n": task["n"], "agent": self.id}
        ctx = Context(self, task)
        self._current[dispatch_tail(self.role, task)] = ctx
        self.counts["running"] += 1
        try:
            result.update(self._run(task, deliveries, ctx))
        finally:
            self.counts["running"] -= 1
            del self._current[dispatch_tail(self.role, task)]
            ctx.ended.set()
        self.counts["failed" if result["status"] == "failed" else "done"] += 1
        return dict(result, startedAt=started, endedAt=now_ms())

    def _run(self, task, deliveries, ctx):
        if deliveries > MAX_DELIVERIES:
            text = "delivered %d times, the bound is %d" % (deliveries, MAX_DELIVERIES)
            return failed("AgentError", text, False, "E_POISON")
        run = self.tasks.get(task["task"])
        if run is None:
            text = 'role "%s" has no task "%s"; it has: %s' % (self.role, task["task"], ", ".join(self.tasks))
            return failed("AgentError", text, False, "E_UNKNOWN_TASK")
        if holds_claim_check(task["inputs"]):
            return failed("AgentError", "inputs above 256 KiB cannot be read by this agent", False, "E_CLAIM_CHECK")
        self.live(task, "started")
        try:
            outputs = run(task["inputs"], ctx)
            if isinstance(outputs, Handoff):
                return fitting({"status": "handoff", "handoff": outputs.body}, self.nats.max_payload)
            return fitting({"status": "done", "outputs": {} if outputs is None else outputs}, self.nats.max_payload)
        except Cancelled as error:
            return failed("AgentError", str(error), False, "E_CANCELLED")
        except Exception as error:  # whatever a task raises is its result
            log("%s/%s failed: %r" % (task["run"], task["step"], error))
            return failed(type(error).__name__, str(error), not isinstance(error, NonRetryableError))

    def _publish_result(self, task, result):
        """Tries until the log has it, for as long as the broker is away."""
        subject = "dh.%s.run.%s.result.%s" % (self.swarm, task["run"], self.role)
        headers = {"Nats-Msg-Id": "%s:%s:%s:%d" % (self.role, task["run"], task["step"], task["n"])}
        first, pause = True, 0.1
        while True:
            answer = self.nats.request(subject, dump(result), 5.0, headers)
            stored = json.loads(answer) if answer else {}
            if first and stored.get("duplicate"):
                # Somebody used this id within two minutes; whether that copy counts is not for us to say.
                headers = None
            elif "seq" in stored:
                return
            else:
                log("result not stored yet: %s" % stored.get("error", "no answer"))
                time.sleep(pause)
                pause = min(pause * 2, 5)
            first = False

    def _say(self, reply, word):
        try:
            self.nats.publish(reply, word.encode())
        except Unreachable:
            pass  # the broker will deliver the task again, and its dispatch is asked about then

    def _on_cancel(self, subject, reply, _status, _body):
        ctx = self._current.get(subject.split(".cancel.", 1)[1])
        if ctx is None:
            return  # another agent's dispatch
        ctx.cancelled.set()

        def answer():
            ctx.ended.wait()
            if reply:
                self._say(reply, '{"ok": true}')

        threading.Thread(target=answer, daemon=True).start()

    def _on_service(self, subject, reply, _status, _body):
        if not reply:
            return
        verb = subject.split(".")[1]
        card = {"id": self.id, "pid": os.getpid(), "host": socket.gethostname(), "version": VERSION}
        card.update(startedAt=self.started_at, concurrency=1)
        card["roles"] = [{"role": self.role, "tasks": [{"name": name} for name in self.tasks]}]
        answer = {"name": "datahammer-agent", "id": self.id, "version": VERSION}
        answer["metadata"] = {"swarm": self.swarm, "card": json.dumps(card)}
        answer["type"] = "io.nats.micro.v1.%s_response" % verb.lower()
        answer["endpoints"] = [{"name": "status", "subject": "", "data": dict(self.counts)}]
        self._say(reply, json.dumps(answer))


def dispatch_tail(role, task):
    return "%s.%s.%s.%d" % (role, task["run"], task["step"], task["n"])


def failed(name, message, retryable, code=None):
    text = message.encode()[:MAX_MESSAGE_BYTES].decode(errors="ignore")
    error = {"name": name, "message": text, "retryable": retryable}
    return {"status": "failed", "error": dict(error, code=code) if code else error}


def fitting(result, max_payload):
    """The result, or a failure that says why it cannot travel."""
    try:
        size = len(dump(result)) + 1024  # room for the fields around it
    except (TypeError, ValueError, RecursionError) as error:
        return failed("AgentError", "outputs cannot be encoded: %s" % error, False, "E_OUTPUT_ENCODING")
    if not isinstance(result.get("outputs", {}), dict):
        return failed("AgentError", "outputs must be an object", False, "E_OUTPUT_SCHEMA")
    if size > max_payload:
        text = "the result has %d bytes, the broker's bound is %d" % (size, max_payload)
        return failed("AgentError", text, False, "E_PAYLOAD_TOO_LARGE")
    return result


def holds_claim_check(value):
    if isinstance(value, dict):
        artifact = value.get("$artifact")
        if isinstance(artifact, dict) and artifact.get("holds") == "value":
            return True
        return any(holds_claim_check(inner) for inner in value.values())
    return isinstance(value, list) and any(holds_claim_check(inner) for inner in value)


def dump(value):
    # NaN and Infinity are no JSON: they are refused here rather than by every reader.
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def now_ms():
    return int(time.time() * 1000)


def log(text):
    print(text, file=sys.stderr, flush=True)


def main(tasks, default_role="words"):
    parser = argparse.ArgumentParser(description="A DataHammer agent in Python.")
    parser.add_argument("--nats", default=os.environ.get("DATAHAMMER_NATS"), help="nats://HOST:PORT")
    parser.add_argument("--token", default=os.environ.get("DATAHAMMER_TOKEN"))
    parser.add_argument("--swarm", default=os.environ.get("DATAHAMMER_SWARM", "main"))
    parser.add_argument("--store", default=os.environ.get("DATAHAMMER_STORE", "./.datahammer"))
    parser.add_argument("--role", default=default_role)
    parser.add_argument("--id", help="unique in the swarm; default: made up")
    options = parser.parse_args()
    if not options.nats:
        try:
            with open(os.path.join(options.store, "broker.json")) as file:
                broker = json.load(file)
            options.nats, options.token = broker["url"], broker["token"]
        except (OSError, ValueError, KeyError) as error:
            log("no broker: %s. Start one with `datahammer up`, or give --nats URL." % error)
            return 4
    name = options.id or "%s-%d-%s" % (options.role, os.getpid(), uuid.uuid4().hex[:4])
    try:
        nats = Nats(options.nats, options.token, name)
    except (OSError, Unreachable) as error:
        log("cannot connect to %s: %s" % (options.nats, error))
        return 4
    agent = Agent(nats, options.swarm, options.role, tasks)
    signal.signal(signal.SIGTERM, agent.stop)
    signal.signal(signal.SIGINT, agent.stop)
    agent.serve()
    nats.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(TASKS))
