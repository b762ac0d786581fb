"""A driver of its own, in another language: driver `fabric`, on a host of its own, with a worker as docs/protocol.md has it.

    python3 fabric.py HOST PORT --name NAME --state FILE [--login USER:PASSWORD] [--die]

The fabric itself is FILE, a JSON document with its networks and ports: what a switch would be. It touches no kernel. Options of a
network have it misbehave: `fail=create` refuses it, `fail=join` refuses every join, `hang=join` never ends one, `late=join` is done when a file FILE.go is there. With
--die it kills itself between the first join and its report. Prints a line of JSON for whatever happens to it, and ends with 3 when another worker has its host.
"""
import argparse
import hashlib
import json
import os
import signal
import sys
import time

sys.dont_write_bytecode = True
from bare import Nats  # noqa: E402
from worker import Fault, Fenced, Hanging, Worker, kind_of, say  # noqa: E402


class Fabric:
    """Networks and ports, kept in a file. Everything can be said twice."""

    NAME = "fabric"

    def __init__(self, path, dies):
        self.path, self.dies = path, dies
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

    def facts(self):
        """Of a host without a kernel (HostFacts): nothing that a built-in driver could work with."""
        return {
            "bootId": "none", "kernel": "none", "runDir": "/fabric", "routes": [], "capabilities": {}, "mtu": 1500,
            "ula": "fdfa:b41c:1::/48", "pools": [{"base": "10.240.0.0/16", "size": 24}], "netnsRoots": [],
            "underlay": None, "vlans": [], "drivers": [self.NAME],
        }

    def answer(self, intent):
        """What we have to say before an intent is carried out (SettleIntent): the MAC address, where nobody asked for one."""
        if kind_of(intent) != "EndpointCreateRequested" or intent["data"]["endpoint"]["mac"]:
            return None
        if intent["data"]["endpoint"]["networkId"] not in self.networks:
            return None
        digest = hashlib.sha256(intent["data"]["endpoint"]["id"].encode()).digest()
        mac = "02:fa:" + ":".join("%02x" % byte for byte in digest[:4])
        return {"kind": "endpoint", "ipv4": None, "ipv6": None, "mac": mac}

    def interface(self, data):
        """What an interface is called in our world."""
        return f"fab-{data['endpointId'][:8]}"

    def carried_out(self, unit):
        """Everything of a command is done, and nothing of it reported."""
        joins = [intent["data"] for intent in unit if kind_of(intent) == "EndpointJoinRequested"]
        if self.dies and joins:
            os.kill(os.getpid(), signal.SIGKILL)
        while any(self.networks[join["networkId"]].get("late") for join in joins) and not os.path.exists(self.path + ".go"):
            time.sleep(0.02)

    def do(self, kind, data):
        """Carries an intent out. @raises Fault, with nothing of it done; Hanging"""
        match kind:
            case "NetworkCreateRequested":
                network = data["network"]
                if network["driver"] != self.NAME:
                    raise Fault("DRIVER_NOT_HERE", f"this host has no driver {network['driver']}")
                if network["ipam"]["driver"] not in ("default", "null"):
                    raise Fault("FABRIC_REFUSED", "the fabric manages no addresses")
                if network["options"].get("fail") == "create":
                    raise Fault("FABRIC_REFUSED", "the fabric was told to refuse this network")
                self.networks[network["id"]] = network["options"]
            case "NetworkDeleteRequested":
                self.networks.pop(data["networkId"], None)
            case "EndpointCreateRequested":
                endpoint = data["endpoint"]
                self.network(endpoint["networkId"])
                self.refuse_ports(endpoint["ports"])
                self.ports.setdefault(endpoint["id"], {"network": endpoint["networkId"], "sandbox": None})
            case "EndpointUpdateRequested":
                self.refuse_ports(data["settings"]["ports"])
            case "EndpointDeleteRequested":
                self.ports.pop(data["endpointId"], None)
            case "EndpointJoinRequested":
                self.refuse_ports(data["sandbox"]["ports"])
                self.join(data)
            case "EndpointLeaveRequested":
                self.put(data["endpointId"], None)
        self.save()

    def join(self, data):
        options = self.network(data["networkId"])
        if data["endpointId"] not in self.ports:
            raise Fault("DEPENDENCY_FAILED", f"endpoint {data['endpointId']} is not there")
        if options.get("fail") == "join":
            raise Fault("FABRIC_REFUSED", "the fabric was told to refuse joins")
        self.put(data["endpointId"], data["sandbox"]["incarnation"])
        if options.get("hang") == "join":
            self.save()
            raise Hanging

    def put(self, endpoint_id, incarnation):
        if endpoint_id in self.ports:
            self.ports[endpoint_id]["sandbox"] = incarnation

    def network(self, network_id):
        if network_id not in self.networks:
            raise Fault("DEPENDENCY_FAILED", f"network {network_id} is not there")
        return self.networks[network_id]

    def refuse_ports(self, ports):
        if ports:
            raise Fault("FABRIC_REFUSED", "nothing leads into the fabric, so no port can be published")

    def undo(self, kind, data):
        """Takes an intent back that was carried out, in part or not at all."""
        match kind:
            case "NetworkCreateRequested":
                self.networks.pop(data["network"]["id"], None)
            case "EndpointCreateRequested":
                self.ports.pop(data["endpoint"]["id"], None)
            case "EndpointJoinRequested":
                self.put(data["endpointId"], None)
            case "EndpointDeleteRequested":
                self.ports.setdefault(data["endpointId"], {"network": data["networkId"], "sandbox": None})
            case "EndpointLeaveRequested":
                self.put(data["endpointId"], data["sandbox"]["incarnation"])
        self.save()

    def is_in(self, incarnation):
        return any(port["sandbox"] == incarnation for port in self.ports.values())

    def keep(self, networks, endpoints):
        """Drops what the log does not know."""
        self.networks = {each: options for each, options in self.networks.items() if each in networks}
        self.ports = {each: port for each, port in self.ports.items() if each in endpoints}
        self.save()


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
        Worker(Nats(args.address, args.port, login), args.name, Fabric(args.state, args.die)).run()
    except Fenced as fence:
        say("fenced", why=str(fence))
        sys.exit(3)


if __name__ == "__main__":
    main()
