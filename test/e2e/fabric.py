"""A driver of its own, in another language, as docs/protocol.md has it (Being a worker): driver `fabric` on a host of its own.

    python3 fabric.py HOST PORT --name NAME --state FILE [--login USER:PASSWORD] [--die]

The fabric itself is FILE, a JSON document with its networks and ports: what a switch would be. It touches no kernel. Options of a
network have it misbehave: `fail=join` refuses every join, `hang=join` never ends one. With --die it kills itself between the first join
and its report. Prints a line of JSON for whatever happens to it, and ends with 3 when another worker has its host.
"""
import argparse
import json
import os
import signal
import sys
import time
from datetime import datetime, timezone

sys.dont_write_bytecode = True
from bare import Nats, Reader, chain_hash, token  # noqa: E402

REALM = "default"
BEAT_S = 2.0
WRONG_LAST_SEQUENCE = (10071, 10164)
MAKING = ("DriverConfigure", "NetworkCreate", "NetworkUpdate", "EndpointCreate", "EndpointUpdate", "EndpointJoin")
TAKING = ("NetworkDelete", "EndpointDelete", "EndpointLeave")
DONE = {"Configure": "Configured", "Create": "Created", "Update": "Updated", "Join": "Joined", "Delete": "Deleted",
        "Leave": "Left"}
# Versions of decisions that this program reads. It stops at others: what it did not understand might have been for it.
READS = {
    "CommandRefused": 1, "CommandTimedOut": 1, "HostLapsed": 1, "PortsLeased": 1, "EndpointSuspected": 1,
    "DriverConfigureRequested": 1, "NetworkCreateRequested": 3, "NetworkUpdateRequested": 1, "NetworkDeleteRequested": 1,
    "EndpointCreateRequested": 2, "EndpointUpdateRequested": 1, "EndpointDeleteRequested": 1,
    "EndpointJoinRequested": 2, "EndpointLeaveRequested": 2,
}


def say(what, **more):
    print(json.dumps({"event": what, **more}), flush=True)


class Fenced(Exception):
    """Another worker reports for this host."""


class Fault(Exception):
    def __init__(self, code, text, retryable=False):
        super().__init__(text)
        self.data = {"code": code, "step": "fabric", "errno": "", "text": text, "retryable": retryable, "undoFaults": []}


class Hanging(Exception):
    """The fabric has not answered yet."""


LATE = Fault("TIMED_OUT", "the deadline passed before it was done; what was made is taken back", True)


def verb_of(event):
    """`EndpointJoin` of `cnm.EndpointJoinRequested.v2`, or None where nothing is to be done."""
    name = event["type"].split(".")[1]
    verb = name.removesuffix("Requested")
    return verb if name.endswith("Requested") and verb in MAKING + TAKING else None


class Fabric:
    """Networks and ports, kept in a file. Everything can be said twice."""

    def __init__(self, path):
        self.path = path
        try:
            with open(path) as file:
                state = json.load(file)
        except FileNotFoundError:
            state = {"networks": {}, "ports": {}}
        self.networks, self.ports = state["networks"], state["ports"]

    def save(self):
        with open(self.path + ".new", "w") as file:
            json.dump({"networks": self.networks, "ports": self.ports}, file)
        os.replace(self.path + ".new", self.path)

    def do(self, verb, data):
        """Carries an intent out. @raises Fault, with nothing changed; Hanging"""
        if verb == "NetworkCreate":
            network = data["network"]
            if network["driver"] != "fabric":
                raise Fault("DRIVER_NOT_HERE", f"this host has no driver {network['driver']}")
            self.networks[network["id"]] = network["options"]
        elif verb == "NetworkDelete":
            self.networks.pop(data["networkId"], None)
        elif verb == "EndpointCreate":
            endpoint = data["endpoint"]
            self.network(endpoint["networkId"])
            if endpoint["ports"]:
                raise Fault("PORT_IN_USE", "nothing leads into the fabric")
            self.ports.setdefault(endpoint["id"], {"network": endpoint["networkId"], "sandbox": None})
        elif verb == "EndpointUpdate":
            if data["settings"]["ports"]:
                raise Fault("PORT_IN_USE", "nothing leads into the fabric")
        elif verb == "EndpointDelete":
            self.ports.pop(data["endpointId"], None)
        elif verb == "EndpointJoin":
            self.join(data)
        elif verb == "EndpointLeave":
            self.ports.get(data["endpointId"], {})["sandbox"] = None
        self.save()

    def join(self, data):
        options = self.network(data["networkId"])
        port = self.ports.get(data["endpointId"])
        if port is None:
            raise Fault("DEPENDENCY_FAILED", f"endpoint {data['endpointId']} is not there")
        if options.get("fail") == "join":
            raise Fault("FABRIC_REFUSED", "the fabric was told to refuse joins")
        port["sandbox"] = data["sandbox"]["incarnation"]
        if options.get("hang") == "join":
            self.save()
            raise Hanging

    def network(self, network_id):
        if network_id not in self.networks:
            raise Fault("DEPENDENCY_FAILED", f"network {network_id} is not there")
        return self.networks[network_id]

    def undo(self, verb, data):
        """Takes an intent back that was carried out, in part or not at all."""
        if verb == "NetworkCreate":
            self.networks.pop(data["network"]["id"], None)
        elif verb == "EndpointCreate":
            self.ports.pop(data["endpoint"]["id"], None)
        elif verb == "EndpointJoin":
            self.ports.get(data["endpointId"], {})["sandbox"] = None
        elif verb == "EndpointDelete":
            self.ports.setdefault(data["endpointId"], {"network": data["networkId"], "sandbox": None})
        elif verb == "EndpointLeave":
            self.ports.get(data["endpointId"], {})["sandbox"] = data["sandbox"]["incarnation"]
        self.save()

    def is_in(self, incarnation):
        return any(port["sandbox"] == incarnation for port in self.ports.values())


class Worker:
    """What the log says of one host, and what follows from it."""

    def __init__(self, nats, host, fabric, dies):
        self.nats, self.host, self.fabric, self.dies = nats, host, fabric, dies
        self.subject = f"cnm.outcome.{token(host)}"
        self.reader = Reader(nats, 1, [f"cnm.event.host.{token(host)}", self.subject])
        # open intents by event id, in log order, and those among them that have come too late
        self.intents, self.expired = {}, set()
        # incarnations of sandboxes that were reported as made
        self.sandboxes = set()
        self.head, self.prevhash, self.epoch = 0, None, 0
        self.mine = None
        self.lapsed = False
        self.beaten = 0.0

    # -------------------------------------------------------------- reading

    def follow(self, seconds):
        """Folds the next commit in. @returns False when none came"""
        message = self.reader.next(seconds)
        if message is None:
            return False
        if message.subject == self.subject:
            if self.mine is not None and message.header("Nats-Msg-Id") != self.mine:
                raise Fenced(f"commit {message.position} is another worker's")
            self.head, self.prevhash = message.position, chain_hash(message.subject, message.headers, message.body)
            for event in message.json():
                self.reported(event)
        else:
            for event in message.json():
                self.decided(event)
        return True

    def reported(self, event):
        name = event["type"].split(".")[1]
        if name == "HostFacts":
            self.epoch = event["data"]["epoch"]
        elif name == "SandboxCreated":
            self.sandboxes.add(event["data"]["sandbox"]["incarnation"])
        elif name == "SandboxRemoved":
            self.sandboxes.discard(event["data"]["sandbox"]["incarnation"])
        intent = self.intents.get(event["causationid"])
        if intent is None or name.startswith("Sandbox"):
            return
        # done, but too late: it is open until it is reported as undone
        is_done = not name.endswith(("Failed", "Reverted"))
        if is_done and event["causationid"] in self.expired and not is_move(intent):
            return
        del self.intents[event["causationid"]]
        self.expired.discard(event["causationid"])

    def decided(self, event):
        _, name, version = event["type"].split(".")
        if READS.get(name, 0) < int(version[1:]):
            raise SystemExit(f"cannot read {event['type']}")
        verb = verb_of(event)
        if verb is not None and event["executors"] == self.host:
            self.intents[event["id"]] = event
        elif name == "CommandTimedOut":
            for intent in (self.intents.get(each) for each in event["data"]["intents"]):
                if intent and (verb_of(intent) in MAKING or is_move(intent)):
                    self.expired.add(intent["id"])
        elif name == "HostLapsed" and event["data"]["epoch"] == self.epoch:
            self.lapsed = True

    # -------------------------------------------------------------- reporting

    def report(self, facts):
        """Appends one commit behind our last one, and reads until it is folded in. Facts: (type, subject, data, intent)."""
        commit = os.urandom(6).hex()
        events = []
        for index, (kind, about, data, intent) in enumerate(facts):
            event = {"specversion": "1.0", "id": f"{commit}.{index}", "type": f"cnm.{kind}", "source": f"/fabric/{self.host}",
                     "subject": about, "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds")[:-6] + "Z"}
            for name in ("actor", "commandid", "correlationid"):
                event[name] = intent[name] if intent else ""
            event["correlationid"] = event["correlationid"] or event["id"]
            event["causationid"] = intent["id"] if intent else ""
            if intent and "traceparent" in intent:
                event["traceparent"] = intent["traceparent"]
            events.append({**event, "data": data})
        headers = [("Content-Type", "application/cloudevents-batch+json"), ("Nats-Msg-Id", commit),
                   ("Nats-Expected-Stream", "CNM_LOG"), ("Nats-Expected-Last-Subject-Sequence", str(self.head))]
        if self.prevhash:
            headers.append(("Cnm-Prev-Hash", self.prevhash))
        self.mine = commit
        answer = self.nats.request(self.subject, json.dumps(events).encode(), headers)
        stored = answer.json() if not answer.status else {"error": {"description": answer.status}}
        if "error" in stored:
            # our own commit may be there, where an answer was lost; a successor's stops us while we read
            if stored["error"].get("err_code") not in WRONG_LAST_SEQUENCE:
                raise ConnectionError(f"not stored: {stored['error']}")
            raise Fenced("our guard does not hold any more")
        while self.head < stored["seq"]:
            self.follow(1.0)

    def state_facts(self):
        """First of all, and under the guard of the last report: from here on, whoever reported before cannot."""
        facts = {
            "host": self.host, "bootId": "fabric", "kernel": "fabric 1", "runDir": f"/fabric/{self.host}", "routes": [],
            "capabilities": {}, "mtu": 1500, "ula": "fdfa:b41c:0000::/48", "pools": [{"base": "10.240.0.0/16", "size": 24}],
            "netnsRoots": [], "reads": READS, "epoch": self.epoch + 1, "underlay": None, "vlans": [], "drivers": ["fabric"],
        }
        self.report([("HostFacts.v2", f"host/{self.host}", facts, None)])
        self.lapsed = False
        say("serving", epoch=self.epoch)

    def beat(self):
        """A sign of life, so that the host is shown as away when there is none."""
        if time.monotonic() - self.beaten < BEAT_S:
            return
        self.beaten = time.monotonic()
        body = json.dumps({"holder": f"fabric/{os.getpid()}", "term": self.epoch}).encode()
        self.nats.publish(f"cnm.lease.worker.{token(self.host)}", body)

    # -------------------------------------------------------------- working

    def units(self):
        """Open intents, those of one command together, in log order."""
        units = {}
        for intent in self.intents.values():
            units.setdefault((intent["actor"], intent["commandid"]), []).append(intent)
        return units.values()

    def work(self):
        """Takes the first unit that does not wait for one before it. @returns False when there is none"""
        waiting = set()
        for unit in self.units():
            writes, reads = scope_of(unit)
            if not waiting & (writes | reads) and self.execute(unit):
                return True
            # what stands on it waits behind it; what shares only a network does not
            waiting |= writes
        return False

    def execute(self, unit):
        """All of it or nothing. @returns False when it is to be waited for"""
        if any(intent["id"] in self.expired for intent in unit):
            self.take_back(unit, LATE)
            return True
        try:
            for intent in unit:
                self.fabric.do(verb_of(intent), intent["data"])
        except Hanging:
            return False
        except Fault as fault:
            self.take_back(unit, fault)
            return True
        if self.dies and any(verb_of(intent) == "EndpointJoin" for intent in unit):
            os.kill(os.getpid(), signal.SIGKILL)
        facts = []
        for intent in unit:
            facts.append(done(intent))
            if verb_of(intent) == "EndpointJoin":
                facts += self.sandbox_made(intent)
        self.report(facts + self.sandboxes_gone(unit))
        return True

    def take_back(self, unit, fault):
        for intent in reversed(unit):
            self.fabric.undo(verb_of(intent), intent["data"])
        facts = [undone(intent, fault) for intent in unit]
        self.report(facts + self.sandboxes_gone(unit))
        say("undone", code=fault.data["code"], intents=[intent["type"] for intent in unit])

    def sandbox_made(self, intent):
        sandbox = intent["data"]["sandbox"]
        if sandbox["incarnation"] in self.sandboxes:
            return []
        return [("SandboxCreated.v2", f"sandbox/{sandbox['id']}", {"sandbox": sandbox}, intent)]

    def sandboxes_gone(self, unit):
        """Sandboxes that nobody is in any more, nor about to be."""
        facts, seen = [], set()
        for intent in unit:
            sandbox = intent["data"].get("sandbox")
            if sandbox is None or "incarnation" not in sandbox:
                continue
            incarnation = sandbox["incarnation"]
            others = any(each["data"].get("sandbox", {}).get("incarnation") == incarnation
                         for each in self.intents.values() if each not in unit and verb_of(each) in ("EndpointJoin", "EndpointLeave"))
            if incarnation in seen or incarnation not in self.sandboxes or others or self.fabric.is_in(incarnation):
                continue
            seen.add(incarnation)
            facts.append(("SandboxRemoved.v2", f"sandbox/{sandbox['id']}", {"sandbox": sandbox}, intent))
        return facts

    def run(self):
        while self.reader.pending > 0:
            self.follow(5.0)
        self.state_facts()
        while True:
            self.beat()
            if self.lapsed:
                self.state_facts()
            if not self.work():
                self.follow(BEAT_S)


def is_move(intent):
    return intent.get("commandtype") == "MoveSandbox"


def scope_of(unit):
    """What a unit changes, and what it stands on."""
    writes, reads = set(), set()
    for intent in unit:
        data, verb = intent["data"], verb_of(intent)
        if verb.startswith("Network"):
            writes.add(data["network"]["id"] if verb == "NetworkCreate" else data["networkId"])
        elif verb == "EndpointCreate":
            writes.add(data["endpoint"]["id"])
            reads.add(data["endpoint"]["networkId"])
        elif verb != "DriverConfigure":
            writes.add(data["endpointId"])
            reads.add(data["networkId"])
    return writes, reads - writes


def ids_of(intent):
    """What every report about an endpoint or a network repeats."""
    data = intent["data"].get("endpoint") or intent["data"].get("network") or intent["data"]
    if "driver" in intent["data"]:
        return {"driver": data["driver"]}
    if verb_of(intent).startswith("Network"):
        return {"networkId": data.get("networkId") or data["id"], "name": data["name"]}
    return {"endpointId": data.get("endpointId") or data["id"], "networkId": data["networkId"], "name": data["name"]}


def in_sandbox(intent):
    if verb_of(intent) not in ("EndpointJoin", "EndpointLeave"):
        return {}
    sandbox = intent["data"]["sandbox"]
    return {"sandbox": {"id": sandbox["id"], "incarnation": sandbox["incarnation"]}}


def done(intent):
    verb, data = verb_of(intent), intent["data"]
    noun, action = verb[: verb.index(next(end for end in DONE if verb.endswith(end)))], next(end for end in DONE if verb.endswith(end))
    facts = {**ids_of(intent), **in_sandbox(intent)}
    version = 1
    if verb == "EndpointUpdate":
        facts, version = {**facts, "ports": [], "peer": None}, 2
    elif verb == "EndpointJoin":
        # the name that the interface has in our world
        name = "fab" + (data["interface"] or "eth0").lstrip("abcdefghijklmnopqrstuvwxyz")
        facts.update({"key": data["sandbox"]["key"], "interface": name, "ipv4": data["ipv4"], "ipv6": data["ipv6"],
                      "mac": data["mac"], "routes": [], "ports": [], "peer": None})
        version = 3
    return (f"{noun}{DONE[action]}.v{version}", intent["subject"], facts, intent)


def undone(intent, fault):
    """Failed; of a move that is taken back, what was to go is there as it was."""
    verb, data = verb_of(intent), intent["data"]
    facts = {**ids_of(intent), **in_sandbox(intent), "fault": fault.data}
    if is_move(intent) and verb in ("EndpointLeave", "EndpointDelete"):
        if verb == "EndpointLeave":
            facts.update({name: data[name] for name in ("joinId", "sandbox", "interface", "before")})
        return (f"{verb}Reverted.v1", intent["subject"], facts, intent)
    return (f"{verb}Failed.v1", intent["subject"], facts, intent)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--name", required=True)
    parser.add_argument("--state", required=True)
    parser.add_argument("--login")
    parser.add_argument("--die", action="store_true")
    args = parser.parse_args()
    login = tuple(args.login.split(":")) if args.login else None
    try:
        Worker(Nats(args.address, args.port, login), args.name, Fabric(args.state), args.die).run()
    except Fenced as fence:
        say("fenced", why=str(fence))
        sys.exit(3)


if __name__ == "__main__":
    main()
