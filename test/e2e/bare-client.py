"""A client of cnmbus with nothing but Python's standard library and docs/protocol.md.

    python3 bare-client.py HOST PORT ACTOR

Prints one line of JSON per step that went as the page says, and ends with 1 at the first that did not.
"""
import json
import os
import sys
import time

sys.dont_write_bytecode = True
from bare import Nats, Reader, base36, chain_hash, mint, token  # noqa: E402


class Cnm:
    """Commands and queries as the page has them."""

    def __init__(self, nats, actor):
        self.nats, self.actor = nats, actor
        self.replies = nats.subscribe(f"cnm.reply.{token(actor)}.*")
        self.answers = {}

    def publish(self, kind, data, command=None, host="_", **more):
        command = command or mint()
        body = json.dumps({"type": kind, "id": command, **more, "data": data}).encode()
        ack = self.nats.request(f"cnm.command.{token(self.actor)}.{host if host == '_' else token(host)}", body)
        expect("stream" in ack.json() and ack.json()["stream"] == "CNM_COMMANDS", "the PubAck", ack.body)
        return command

    def answer(self, command, kinds):
        """The next answer to a command that is of one of these kinds."""
        while True:
            for answer in self.answers.setdefault(command, []):
                if answer["kind"] in kinds:
                    self.answers[command].remove(answer)
                    return answer
            message = self.nats.next(self.replies)
            expect(message is not None, f"an answer to {command}", "nothing")
            answer = message.json()
            self.answers.setdefault(answer["commandid"], []).append(answer)

    def done(self, command):
        accepted = self.answer(command, ("accepted", "refused"))
        expect(accepted["kind"] == "accepted", "the acceptance", accepted)
        outcome = self.answer(command, ("outcome",))
        expect(outcome["status"] == "succeeded", "the outcome", outcome)
        return accepted, outcome

    def query(self, view, **query):
        message = self.nats.request(f"cnm.query.{view}", json.dumps(query).encode())
        return message, message.json()

    def rows(self, view, **query):
        message, answer = self.query(view, **query)
        expect(message.header("Nats-Service-Error") is None, f"the view {view}", message.body)
        return answer["rows"]

    def commit(self, position):
        """The commit at a position, by direct get."""
        message = self.nats.request("$JS.API.DIRECT.GET.CNM_LOG", json.dumps({"seq": position}).encode())
        expect(not message.status, f"the commit at {position}", message.status)
        return message


def expect(holds, what, got):
    if not holds:
        print(json.dumps({"failed": what, "got": str(got)}), flush=True)
        sys.exit(1)


def step(name, **facts):
    print(json.dumps({"step": name, **facts}), flush=True)


def life(cnm):
    """A network, an endpoint, a sandbox; everything goes again."""
    work = "work-" + os.urandom(6).hex()
    create = cnm.publish("CreateNetwork", {"name": "py"}, correlationid=work)
    accepted, outcome = cnm.done(create)
    step("network", id=accepted["network"]["id"], position=outcome["position"])

    # without waiting in between: they are decided in the order of publishing
    endpoint = cnm.publish("CreateEndpoint", {"network": "py", "name": "e"}, correlationid=work)
    join = cnm.publish("JoinEndpoint", {"network": "py", "endpoint": "e", "sandbox": "s"}, correlationid=work)
    made, _ = cnm.done(endpoint)
    expect(made["endpoints"][0]["ipv4"].endswith("/24"), "the address in the acceptance", made)
    accepted, outcome = cnm.done(join)
    key = outcome["sandbox"]["key"]
    expect(accepted["sandbox"]["key"] == key and os.path.exists(key), "the sandbox key", outcome)
    expect(outcome["endpoints"][0]["routes"][0]["destination"] == "0.0.0.0/0", "the route", outcome)
    step("joined", key=key, address=outcome["endpoints"][0]["ipv4"], position=outcome["position"])

    [row] = cnm.rows("endpoints", filter={"network": "py", "endpoint": "e"}, atLeast=outcome["position"])
    expect(row["status"] == "joined" and row["sandbox"] == "s" and row["sandboxKey"] == key, "the row", row)
    [before] = cnm.rows("endpoints", filter={"endpoint": "e"}, asOf=made["position"])
    expect(before["status"] in ("creating", "joining"), "the row as it was", before)
    rows = cnm.rows("commands", filter={"actor": cnm.actor, "correlationid": work})
    expect([each["status"] for each in rows] == ["succeeded"] * 3, "the commands by correlation id", rows)
    step("views")

    refused = cnm.answer(cnm.publish("DeleteNetwork", {"network": "py"}), ("accepted", "refused"))
    expect(refused["kind"] == "refused" and refused["code"] == "NETWORK_HAS_ENDPOINTS", "the refusal", refused)
    expect(refused["culprits"][0]["name"] == "e", "the culprit", refused)
    step("refused", code=refused["code"])

    cnm.publish("CreateEndpoint", {"network": "py", "name": "e"}, command=endpoint)
    again, _ = cnm.done(endpoint)
    expect(again == made, "the same answer to the same id", again)
    cnm.publish("CreateEndpoint", {"network": "py", "name": "other"}, command=endpoint)
    reused = cnm.answer(endpoint, ("accepted", "refused"))
    expect(reused.get("code") == "COMMAND_ID_REUSED", "the refusal of a reused id", reused)
    step("repeated")

    at = {"network": "py", "endpoint": "e"}
    ends = [cnm.publish("LeaveEndpoint", at), cnm.publish("DeleteEndpoint", at)]
    ends.append(cnm.publish("DeleteNetwork", {"network": "py"}))
    for command in ends:
        _, outcome = cnm.done(command)
    expect(not os.path.exists(key), "the end of the sandbox", key)
    expect(cnm.rows("networks", atLeast=outcome["position"]) == [], "no network any more", "rows")
    step("gone", position=outcome["position"])


def trouble(cnm):
    """What cannot be answered."""
    message, answer = cnm.query("network")
    expect(message.header("Nats-Service-Error-Code") == "404", "the class of an unknown view", message.headers)
    expect(answer["code"] == "QUERY_VIEW_UNKNOWN", "the code of an unknown view", answer)
    old = base36(int((time.time() - 31 * 86400) * 1000)) + "-old"
    refused = cnm.answer(cnm.publish("DeleteNetwork", {"network": "py"}, command=old), ("accepted", "refused"))
    expect(refused.get("code") == "COMMAND_TOO_OLD", "the refusal of an old id", refused)
    unknown = cnm.answer(cnm.publish("CreateRouter", {}), ("accepted", "refused"))
    expect(unknown.get("code") == "COMMAND_UNKNOWN", "the refusal of an unknown command", unknown)
    once = mint()
    headers = [("Nats-Msg-Id", f"{cnm.actor} {once}")]
    body = json.dumps({"type": "DeleteNetwork", "id": once, "data": {"network": "py"}}).encode()
    acks = [cnm.nats.request(f"cnm.command.{token(cnm.actor)}._", body, headers).json() for _ in range(2)]
    expect("duplicate" not in acks[0] and acks[1].get("duplicate") is True, "the second PubAck", acks)
    nothing = cnm.nats.request("$JS.API.DIRECT.GET.CNM_LOG", json.dumps({"seq": 10**9}).encode())
    expect(nothing.status.startswith("404"), "that there is no such commit", nothing.status)
    nobody = cnm.nats.request("cnm.nobody.is.there")
    expect(nobody.status.startswith("503"), "that nobody is there", nobody.status)
    step("trouble")


def log(cnm):
    """The whole log by direct get: the chains hold, and every event is a CloudEvent."""
    [status] = cnm.rows("status")
    heads, count = {}, 0
    for position in range(1, status["position"] + 1):
        commit = cnm.commit(position)
        subject = commit.header("Nats-Subject")
        expect(commit.header("Nats-Sequence") == str(position), "the position", commit.headers)
        expect(commit.header("Content-Type") == "application/cloudevents-batch+json", "the type", commit.headers)
        expect(commit.header("Cnm-Prev-Hash") == heads.get(subject), f"the chain at {position}", commit.headers)
        heads[subject] = chain_hash(subject, commit.headers, commit.body)
        for index, event in enumerate(commit.json()):
            expect(event["specversion"] == "1.0" and event["type"].startswith("cnm."), "a CloudEvent", event)
            expect(event["id"] == f"{commit.header('Nats-Msg-Id')}.{index}", "its id", event)
            count += 1
    for subject, head in heads.items():
        last = cnm.nats.request(f"$JS.API.DIRECT.GET.CNM_LOG.{subject}")
        expect(chain_hash(subject, last.headers, last.body) == head, "the last commit of a subject", last.headers)
    step("log", commits=status["position"], events=count, subjects=len(heads))


def watch(cnm, host):
    """A snapshot, then what happens from there, by a consumer of our own."""
    _, snapshot = cnm.query("networks")
    subjects = [f"cnm.event.host.{token(host)}", f"cnm.outcome.{token(host)}"]
    reader = Reader(cnm.nats, snapshot["position"] + 1, subjects)

    create = cnm.publish("CreateNetwork", {"name": "watched"})
    cnm.done(create)
    _, outcome = cnm.done(cnm.publish("DeleteNetwork", {"network": "watched"}))
    seen, position = [], snapshot["position"]
    while position < outcome["position"]:
        delivery = reader.next()
        expect(delivery is not None and delivery.position > position, "the order", delivery)
        position = delivery.position
        seen += [event["type"].split(".")[1] for event in delivery.json()]
    wanted = ["NetworkCreateRequested", "NetworkCreated", "NetworkDeleteRequested", "NetworkDeleted"]
    expect(seen == wanted, "what happened", seen)
    step("watched", events=seen)


def discovery(cnm):
    found = cnm.nats.request("$SRV.PING.cnm-projector").json()
    expect(found["type"] == "io.nats.micro.v1.ping_response" and found["name"] == "cnm-projector", "a service", found)
    info = cnm.nats.request("$SRV.INFO.cnm-projector." + found["id"]).json()
    expect(info["endpoints"][0]["subject"] == "cnm.query.*", "its endpoint", info)
    [host] = cnm.rows("hosts")
    step("discovered", version=found["version"], host=host["host"])
    return host["host"]


def main():
    address, port, actor, *login = sys.argv[1:]
    cnm = Cnm(Nats(address, int(port), login), actor)
    host = discovery(cnm)
    life(cnm)
    trouble(cnm)
    log(cnm)
    watch(cnm, host)
    step("end")


if __name__ == "__main__":
    main()
