"""The worker of a host, as docs/protocol.md has it (Being a worker), for any driver that carries intents out.

It keeps nothing: what is open, what has come too late and who reports for the host stand in the log.
"""
import json
import os
import sys
import time
from datetime import datetime, timezone

sys.dont_write_bytecode = True
from bare import Reader, base36, chain_hash, token  # noqa: E402

BEAT_S = 2.0
WRONG_LAST_SEQUENCE = (10071, 10164)
# What each intent is reported as when it is done. Those that make something can come too late.
MAKING = {
    "DriverConfigureRequested": "DriverConfigured.v1", "NetworkCreateRequested": "NetworkCreated.v1",
    "NetworkUpdateRequested": "NetworkUpdated.v1", "EndpointCreateRequested": "EndpointCreated.v1",
    "EndpointUpdateRequested": "EndpointUpdated.v2", "EndpointJoinRequested": "EndpointJoined.v3",
}
TAKING = {
    "NetworkDeleteRequested": "NetworkDeleted.v1", "EndpointDeleteRequested": "EndpointDeleted.v1",
    "EndpointLeaveRequested": "EndpointLeft.v1",
}
DONE = {**MAKING, **TAKING}
# Versions of intents that this program reads.
READS = {
    "DriverConfigureRequested": 1, "NetworkCreateRequested": 5, "NetworkUpdateRequested": 2, "NetworkDeleteRequested": 1,
    "EndpointCreateRequested": 3, "EndpointUpdateRequested": 2, "EndpointDeleteRequested": 1,
    "EndpointJoinRequested": 3, "EndpointLeaveRequested": 3,
}


def say(what, **more):
    print(json.dumps({"event": what, **more}), flush=True)


class Fenced(Exception):
    """Another worker reports for this host."""


class Fault(Exception):
    def __init__(self, code, text, retryable=False):
        super().__init__(text)
        self.data = {"code": code, "step": "driver", "errno": "", "text": text, "retryable": retryable, "undoFaults": []}


class Hanging(Exception):
    """The fabric has not answered yet."""


# why a command is over before it was reported, as the intents are reported that it had
OVER = {
    "CommandTimedOut": Fault("TIMED_OUT", "the deadline passed before it was done; what was made is taken back", True),
    "CommandCancelled": Fault("CANCELLED", "its sender has cancelled it; what was made is taken back"),
}


def kind_of(event):
    """`EndpointJoinRequested` of `cnm.EndpointJoinRequested.v3`."""
    return event["type"].split(".")[1]


def is_move(intent):
    """It makes and removes in one: both happen, or neither."""
    return intent["commandtype"] == "MoveSandbox" or intent.get("revertible") is True


class Worker:
    """What the log says of one host, and what follows from it."""

    def __init__(self, nats, host, driver):
        self.nats, self.host, self.driver = nats, host, driver
        self.subject = f"cnm.outcome.{token(host)}"
        self.actor = f"worker:{host}"
        self.reader = Reader(nats, 1, [f"cnm.event.host.{token(host)}", self.subject])
        # open intents by event id, in log order, and why some of them are not wanted any more
        self.intents, self.expired = {}, {}
        # ids of what was decided and is not reported as gone; incarnations of sandboxes that were reported as made
        self.networks, self.endpoints, self.sandboxes = set(), set(), set()
        self.head, self.prevhash, self.epoch = 0, None, 0
        # what was left open in intents and is decided since, by their ids; MAC addresses that were, by the endpoint's
        self.settled, self.macs = set(), {}
        # commands of our own: those that were sent, and why some were refused
        self.sent, self.refused = set(), {}
        self.mine = None
        self.lapsed, self.lost = False, False
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
        kind, data = kind_of(event), event["data"]
        if kind == "HostFacts":
            self.epoch = data["epoch"]
        elif kind == "SandboxCreated":
            self.sandboxes.add(data["sandbox"]["incarnation"])
        elif kind == "SandboxRemoved":
            self.sandboxes.discard(data["sandbox"]["incarnation"])
        intent = self.intents.get(event["causationid"])
        if intent is None or kind.startswith("Sandbox"):
            return
        # done, but too late: it is open until it is reported as undone
        is_done = not kind.endswith(("Failed", "Reverted"))
        if is_done and intent["id"] in self.expired and not is_move(intent):
            return
        del self.intents[intent["id"]]
        self.settled.discard(intent["id"])
        self.expired.pop(intent["id"], None)
        if kind in ("NetworkCreateFailed", "NetworkDeleted"):
            self.networks.discard(data["networkId"])
        elif kind in ("EndpointCreateFailed", "EndpointDeleted"):
            self.endpoints.discard(data["endpointId"])
            self.macs.pop(data["endpointId"], None)

    def decided(self, event):
        kind, data = kind_of(event), event["data"]
        if event.get("executors") == self.host:
            if event["type"] != f"cnm.{kind}.v{READS.get(kind)}":
                # not understood is not done: whoever reads on would report on the wrong things
                raise SystemExit(f"cannot read {event['type']}")
            self.intents[event["id"]] = event
            if kind == "NetworkCreateRequested":
                self.networks.add(data["network"]["id"])
            elif kind == "EndpointCreateRequested":
                self.endpoints.add(data["endpoint"]["id"])
        elif kind in OVER:
            for intent in (self.intents.get(each) for each in data["intents"]):
                if intent and (kind_of(intent) in MAKING or is_move(intent)):
                    self.expired[intent["id"]] = OVER[kind]
        elif kind == "EndpointSettled":
            self.settled.add(data["intent"])
            self.macs[data["endpointId"]] = data["mac"]
        elif kind == "CommandRefused" and event["actor"] == self.actor:
            self.refused[event["commandid"]] = data
        elif kind == "HostLapsed" and data["epoch"] == self.epoch:
            self.lapsed = True
        elif kind == "HostLost" and data["epoch"] == self.epoch:
            # nothing is wanted any more of what was wanted before
            self.intents, self.expired = {}, {}
            self.networks, self.endpoints, self.sandboxes = set(), set(), set()
            self.macs, self.lapsed, self.lost = {}, True, True

    # -------------------------------------------------------------- reporting

    def report(self, facts):
        """Appends one commit behind our last one, and reads until it is folded in. @returns False when another one is there"""
        commit = os.urandom(6).hex()
        events = [self.envelop(f"{commit}.{index}", *fact) for index, fact in enumerate(facts)]
        headers = [("Content-Type", "application/cloudevents-batch+json"), ("Nats-Msg-Id", commit),
                   ("Nats-Expected-Stream", "CNM_LOG"), ("Nats-Expected-Last-Subject-Sequence", str(self.head))]
        if self.prevhash:
            headers.append(("Cnm-Prev-Hash", self.prevhash))
        # without an answer this program ends: the next one finds in the log whether it was stored
        stored = self.nats.request(self.subject, json.dumps(events).encode(), headers).json()
        if "error" in stored:
            if stored["error"].get("err_code") in WRONG_LAST_SEQUENCE:
                return False
            raise ConnectionError(f"not stored: {stored['error']}")
        self.mine = commit
        while self.head < stored["seq"]:
            self.follow(1.0)
        return True

    def envelop(self, event_id, kind, about, data, intent):
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        meta = {"specversion": "1.0", "id": event_id, "type": f"cnm.{kind}", "source": f"/{self.driver.NAME}/{self.host}",
                "subject": about, "time": now, "actor": "", "commandid": "", "correlationid": event_id, "causationid": ""}
        if intent:
            meta.update({name: intent[name] for name in ("actor", "commandid", "correlationid")}, causationid=intent["id"])
            meta.update({name: intent[name] for name in ("actorproof", "traceparent") if name in intent})
        return {**meta, "data": data}

    def tell(self, facts):
        if not self.report(facts):
            raise Fenced("the guard of our last report does not hold any more")

    def state_facts(self):
        """First of all, and under the guard of the last report: from here on, whoever reported before cannot."""
        facts = {**self.driver.facts(), "host": self.host, "reads": READS, "epoch": self.epoch + 1}
        if not self.report([("HostFacts.v3", f"host/{self.host}", facts, None)]):
            return False
        self.lapsed = False
        say("serving", epoch=self.epoch)
        return True

    def beat(self):
        """A sign of life, so that the host is shown as away when there is none."""
        if time.monotonic() - self.beaten < BEAT_S:
            return
        self.beaten = time.monotonic()
        body = json.dumps({"holder": f"{self.driver.NAME}/{os.getpid()}", "term": self.epoch}).encode()
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
        over = next((self.expired[intent["id"]] for intent in unit if intent["id"] in self.expired), None)
        if over:
            self.take_back(unit, over)
            return True
        try:
            if not all([self.is_settled(intent) for intent in unit]):
                return False
            for intent in unit:
                self.driver.do(kind_of(intent), intent["data"])
        except Hanging:
            return False
        except Fault as fault:
            self.take_back(unit, fault)
            return True
        self.driver.carried_out(unit)
        facts = []
        for intent in unit:
            facts += [self.done(intent), *self.sandbox_made(intent, facts)]
        self.tell(facts + self.sandboxes_gone(unit))
        return True

    def is_settled(self, intent):
        """Whether what the driver has to say of an intent is decided; it is asked for from here on. @raises Fault when it is refused"""
        answer = self.driver.answer(intent)
        if answer is None or intent["id"] in self.settled:
            return True
        minted = base36(round(datetime.fromisoformat(intent["time"]).timestamp() * 1000))
        command = f"{minted}-settle/{intent['id']}/{self.epoch}"
        if command in self.refused:
            raise Fault(self.refused[command]["code"], self.refused[command]["detail"])
        if command not in self.sent:
            data = {"intent": intent["id"], "epoch": self.epoch, "answer": answer}
            body = json.dumps({"type": "SettleIntent", "id": command, "correlationid": intent["correlationid"], "data": data})
            self.nats.request(f"cnm.command.{token(self.actor)}.{token(self.host)}", body.encode())
            self.sent.add(command)
        return False

    def take_back(self, unit, fault):
        facts = []
        for intent in reversed(unit):
            kind, data = kind_of(intent), intent["data"]
            # of a move, what was to go stays; what was never there does not come by it
            is_gone = kind in TAKING and data.get("endpointId") not in self.endpoints
            if is_gone:
                self.driver.do(kind, data)
            else:
                self.driver.undo(kind, data)
            facts.insert(0, self.done(intent) if is_gone else undone(intent, fault))
        self.tell(facts + self.sandboxes_gone(unit))
        say("undone", code=fault.data["code"])

    def done(self, intent):
        kind, data = kind_of(intent), intent["data"]
        facts = names_of(intent)
        if kind == "EndpointUpdateRequested":
            facts.update(ports=[], peer=None)
        elif kind == "EndpointJoinRequested":
            facts.update(ipv4=data["ipv4"], ipv6=data["ipv6"], mac=data["mac"] or self.macs.get(data["endpointId"]),
                         interface=self.driver.interface(data), key=data["sandbox"]["key"], routes=[], ports=[], peer=None)
        return (DONE[kind], intent["subject"], facts, intent)

    def sandbox_made(self, intent, facts):
        """The sandbox of a join, where neither the log nor what is to be reported before knows it as made."""
        if kind_of(intent) != "EndpointJoinRequested":
            return []
        sandbox = intent["data"]["sandbox"]
        if sandbox["incarnation"] in self.sandboxes or any(fact[0].startswith("SandboxCreated") for fact in facts):
            return []
        return [("SandboxCreated.v3", f"sandbox/{sandbox['id']}", {"sandbox": sandbox}, intent)]

    def sandboxes_gone(self, unit):
        """The sandbox of the unit, where nobody is in it any more, nor about to be."""
        intent = next((each for each in reversed(unit) if incarnation_of(each)), None)
        incarnation = intent and incarnation_of(intent)
        if incarnation not in self.sandboxes or self.driver.is_in(incarnation):
            return []
        if any(incarnation_of(each) == incarnation for each in self.intents.values() if each not in unit):
            return []
        sandbox = intent["data"]["sandbox"]
        return [("SandboxRemoved.v3", f"sandbox/{sandbox['id']}", {"sandbox": sandbox}, intent)]

    def run(self):
        while self.reader.pending > 0:
            self.follow(5.0)
        while not self.state_facts():
            self.follow(1.0)
        self.driver.keep(self.networks, self.endpoints)
        while True:
            self.beat()
            if self.lapsed and not self.state_facts():
                raise Fenced("another worker has this host")
            if self.lost:
                self.driver.keep(self.networks, self.endpoints)
                self.lost = False
            if not self.work():
                self.follow(BEAT_S)


def incarnation_of(intent):
    """Of the sandbox that an intent joins or leaves."""
    is_of_sandbox = kind_of(intent) in ("EndpointJoinRequested", "EndpointLeaveRequested")
    return intent["data"]["sandbox"]["incarnation"] if is_of_sandbox else None


def scope_of(unit):
    """What a unit changes, and what it stands on."""
    writes, reads = set(), set()
    for intent in unit:
        ids = names_of(intent)
        if "endpointId" in ids:
            writes.add(ids["endpointId"])
            reads.add(ids["networkId"])
        elif "networkId" in ids:
            writes.add(ids["networkId"])
    return writes, reads - writes


def names_of(intent):
    """What every report repeats of its intent."""
    data = intent["data"]
    match kind_of(intent):
        case "DriverConfigureRequested":
            return {"driver": data["driver"]}
        case "NetworkCreateRequested":
            return {"networkId": data["network"]["id"], "name": data["network"]["name"]}
        case "EndpointCreateRequested":
            endpoint = data["endpoint"]
            return {"endpointId": endpoint["id"], "networkId": endpoint["networkId"], "name": endpoint["name"]}
        case "EndpointJoinRequested" | "EndpointLeaveRequested":
            sandbox = {name: data["sandbox"][name] for name in ("id", "incarnation")}
            return {**{name: data[name] for name in ("endpointId", "networkId", "name")}, "sandbox": sandbox}
        case _:
            return {name: data[name] for name in ("endpointId", "networkId", "name") if name in data}


def undone(intent, fault):
    """Failed; of a move that is taken back, what was to go is there as it was."""
    kind, data = kind_of(intent), intent["data"]
    facts = {**names_of(intent), "fault": fault.data}
    if not is_move(intent) or kind not in TAKING:
        return (kind.replace("Requested", "Failed.v1"), intent["subject"], facts, intent)
    if kind == "EndpointLeaveRequested":
        facts.update({name: data[name] for name in ("joinId", "sandbox", "interface", "before")})
    version = "Reverted.v2" if kind == "EndpointLeaveRequested" else "Reverted.v1"
    return (kind.replace("Requested", version), intent["subject"], facts, intent)
