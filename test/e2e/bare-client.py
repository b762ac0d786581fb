"""A client of cnmbus with nothing but Python's standard library and docs/protocol.md: the NATS protocol over one socket, JSON, hashes.

    python3 bare-client.py HOST PORT ACTOR

Prints one line of JSON per step that went as the page says, and ends with 1 at the first that did not.
"""
import base64
import hashlib
import json
import os
import socket
import sys
import time

SERVER_HEADERS = {
    "Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Last-Sequence", "Nats-Num-Pending",
    "Nats-UpTo-Sequence", "Nats-Stream-Source", "Nats-Msg-Size", "Nats-Pin-Id",
}
TIMEOUT_S = 15.0


def token(name):
    """A name as one token of a subject (Names in subjects)."""
    if name == "_":
        return "=5F"
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "".join(chr(byte) if byte in plain else "=%02X" % byte for byte in name.encode())


def base36(number):
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


def mint():
    """A command id (Command ids)."""
    return base36(int(time.time() * 1000)) + "-" + os.urandom(6).hex()


class Message:
    def __init__(self, subject, reply, status, headers, body):
        self.subject, self.reply, self.status, self.headers, self.body = subject, reply, status, headers, body

    def json(self):
        return json.loads(self.body)

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)


class Nats:
    """One connection. Messages are kept per subscription until somebody asks for them."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=TIMEOUT_S)
        self.buffer = b""
        self.waiting = {}
        self.info = json.loads(self.line().split(b" ", 1)[1])
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "name": "bare",
                   "lang": "python", "version": "1", "protocol": 1}
        self.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        while self.line() != b"PONG":
            pass

    def write(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def payload(self, size):
        while len(self.buffer) < size + 2:
            self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size + 2:]
        return data

    def subscribe(self, subject):
        sid = str(len(self.waiting) + 1)
        self.waiting[sid] = []
        self.write(f"SUB {subject} {sid}\r\n".encode())
        return sid

    def publish(self, subject, body, reply="", headers=()):
        if headers:
            head = b"NATS/1.0\r\n" + b"".join(f"{key}: {value}\r\n".encode() for key, value in headers) + b"\r\n"
            sizes = f"{len(head)} {len(head) + len(body)}"
            self.write(f"HPUB {subject} {reply} {sizes}\r\n".encode() + head + body + b"\r\n")
        else:
            self.write(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n")

    def receive(self):
        """Takes one thing from the wire."""
        line = self.line()
        verb, *rest = line.decode().split()
        if verb == "PING":
            self.write(b"PONG\r\n")
        elif verb == "-ERR":
            raise ConnectionError(line.decode())
        elif verb in ("MSG", "HMSG"):
            sizes = 1 if verb == "MSG" else 2
            subject, sid, *reply = rest[:-sizes]
            whole = self.payload(int(rest[-1]))
            head = b"" if verb == "MSG" else whole[:int(rest[-2])]
            self.waiting[sid].append(Message(subject, reply[0] if reply else "", *parse_head(head), whole[len(head):]))

    def next(self, sid):
        while not self.waiting[sid]:
            self.receive()
        return self.waiting[sid].pop(0)

    def request(self, subject, body=b"", headers=()):
        inbox = "_INBOX." + os.urandom(8).hex()
        sid = self.subscribe(inbox)
        self.publish(subject, body, inbox, headers)
        return self.next(sid)


def parse_head(head):
    """Status and headers of what stands in front of a body."""
    if not head:
        return "", []
    first, *lines = head.decode().rstrip("\r\n").split("\r\n")
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    return first[len("NATS/1.0"):].strip(), [(key, value.strip()) for key, value in pairs]


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
            answer = self.nats.next(self.replies).json()
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


def chain_hash(subject, headers, body):
    """The hash that the next commit on the same subject carries (The chain)."""
    stored = sorted((pair for pair in headers if pair[0] not in SERVER_HEADERS), key=lambda pair: pair[0])
    head = subject + "\r\n" + "".join(f"{key}: {value}\r\n" for key, value in stored) + "\r\n"
    return base64.urlsafe_b64encode(hashlib.sha256(head.encode() + body).digest()).decode().rstrip("=")


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
    name = "bare_" + os.urandom(6).hex()
    config = {"name": name, "deliver_policy": "by_start_sequence", "opt_start_seq": snapshot["position"] + 1,
              "ack_policy": "none", "mem_storage": True, "num_replicas": 1, "inactive_threshold": 60 * 10**9,
              "filter_subjects": [f"cnm.event.host.{token(host)}", f"cnm.outcome.{token(host)}"]}
    body = json.dumps({"stream_name": "CNM_LOG", "config": config, "action": "create"}).encode()
    made = cnm.nats.request(f"$JS.API.CONSUMER.CREATE.CNM_LOG.{name}", body).json()
    expect("error" not in made, "the consumer", made)
    inbox = "_INBOX." + os.urandom(8).hex()
    sid = cnm.nats.subscribe(inbox)
    pull = json.dumps({"batch": 100, "expires": 10 * 10**9}).encode()
    cnm.nats.publish(f"$JS.API.CONSUMER.MSG.NEXT.CNM_LOG.{name}", pull, inbox)

    create = cnm.publish("CreateNetwork", {"name": "watched"})
    cnm.done(create)
    _, outcome = cnm.done(cnm.publish("DeleteNetwork", {"network": "watched"}))
    seen, position = [], snapshot["position"]
    while position < outcome["position"]:
        delivery = cnm.nats.next(sid)
        after, position = position, int(delivery.reply.split(".")[5])
        expect(position > after, "the order", delivery.reply)
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
    address, port, actor = sys.argv[1:4]
    cnm = Cnm(Nats(address, int(port)), actor)
    host = discovery(cnm)
    life(cnm)
    trouble(cnm)
    log(cnm)
    watch(cnm, host)
    step("end")


main()
