"""VLANs, MPLS and tunnels of both hosts, as a program: not every kernel has devices for them.

Each is a TUN or TAP device with a subnet of its own. What the host's network stack sends into it
goes over the wire with the headers that the kernel's vlan, mpls, ipip, sit, ip6tnl, gre and gretap
devices would put in front, and what comes over the wire with such headers goes back into it.
Prints "ready" once all devices are up. usage: tunnels.py HOST (1 is the client, 2 the server)
"""

import fcntl
import itertools
import os
import select
import socket
import struct
import subprocess
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_TAP, IFF_NO_PI = 0x1, 0x2, 0x1000
SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING = 263, 8, 4
TP_STATUS_VLAN_VALID = 0x10
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, ETH_P_TEB = 0x0003, 0x0800, 0x86DD, 0x6558
ETH_P_8021Q, ETH_P_8021AD, ETH_P_MPLS_UC = 0x8100, 0x88A8, 0x8847
GRE_CSUM, GRE_KEY, GRE_SEQ = 0x8000, 0x2000, 0x1000
# Room for the outer headers, so that only what shall be fragmented is.
TUNNEL_MTU = 1400
MAX_FRAME = 65535


def ip_ethertype(packet: bytes) -> int:
    return ETH_P_IPV6 if packet[0] >> 4 == 6 else ETH_P_IP


def internet_checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Vlan:
    """Tags, outermost first, in the frames of a TAP device."""

    over, tap = "wire", True

    def __init__(self, *tags: tuple[int, int]) -> None:
        self.tags = b"".join(struct.pack("!HH", tpid, vid) for tpid, vid in tags)

    def wrap(self, frame: bytes) -> bytes:
        return frame[:12] + self.tags + frame[12:]

    def unwrap(self, frame: bytes) -> bytes | None:
        end = 12 + len(self.tags)
        inner_type = frame[end : end + 2]
        if frame[12:end] != self.tags or inner_type == struct.pack("!H", ETH_P_8021Q):
            return None
        return frame[:12] + frame[end:]


class Mpls:
    """One label in front of IP packets."""

    over, tap = "wire", False

    def __init__(self, label: int, host: int) -> None:
        stack_entry = struct.pack("!I", label << 12 | 1 << 8 | 64)
        here, there = (bytes([2, 0, 0, 0, 0, number]) for number in (host, 3 - host))
        self.outgoing = there + here + struct.pack("!H", ETH_P_MPLS_UC) + stack_entry
        self.incoming = here + there + self.outgoing[12:]

    def wrap(self, packet: bytes) -> bytes:
        return self.outgoing + packet

    def unwrap(self, frame: bytes) -> bytes | None:
        start = len(self.incoming)
        return frame[start:] if frame[:start] == self.incoming else None


class IpInIp:
    """IP packets of one version directly behind an outer IP header."""

    tap = False

    def __init__(self, outer: int, inner: int) -> None:
        self.over = (outer, socket.IPPROTO_IPIP if inner == 4 else socket.IPPROTO_IPV6)
        self.inner = inner

    def wrap(self, packet: bytes) -> bytes | None:
        return packet if packet[0] >> 4 == self.inner else None

    def unwrap(self, packet: bytes) -> bytes | None:
        return self.wrap(packet)


class Gre:
    """IP packets or Ethernet frames behind a GRE header (RFC 2784, RFC 2890)."""

    def __init__(self, outer: int, flags: int = 0, key: int = 0, tap: bool = False) -> None:
        self.over = (outer, socket.IPPROTO_GRE)
        self.flags, self.key, self.tap = flags, key, tap
        self.sequence = itertools.count()

    def wrap(self, packet: bytes) -> bytes:
        protocol = ETH_P_TEB if self.tap else ip_ethertype(packet)
        fields = b"\0\0\0\0" if self.flags & GRE_CSUM else b""
        if self.flags & GRE_KEY:
            fields += struct.pack("!I", self.key)
        if self.flags & GRE_SEQ:
            fields += struct.pack("!I", next(self.sequence))
        whole = bytearray(struct.pack("!HH", self.flags, protocol) + fields + packet)
        if self.flags & GRE_CSUM:
            struct.pack_into("!H", whole, 4, internet_checksum(bytes(whole)))
        return bytes(whole)

    def unwrap(self, packet: bytes) -> bytes | None:
        flags, protocol = struct.unpack_from("!HH", packet)
        if flags != self.flags or (protocol == ETH_P_TEB) != self.tap:
            return None
        key_at = 8 if flags & GRE_CSUM else 4
        if flags & GRE_KEY and struct.unpack_from("!I", packet, key_at)[0] != self.key:
            return None
        return packet[4 + 4 * sum(bool(flags & flag) for flag in (GRE_CSUM, GRE_KEY, GRE_SEQ)) :]


def tunnels(host: int) -> list[tuple[str, object]]:
    """Device names and what they do; the n-th has the subnets 10.n.0.0/24 and 2001:db8:n::/64."""
    return [
        ("vlan", Vlan((ETH_P_8021Q, 100))),
        ("qinq", Vlan((ETH_P_8021AD, 200), (ETH_P_8021Q, 300))),
        ("ipip", IpInIp(outer=4, inner=4)),
        ("sit", IpInIp(outer=4, inner=6)),
        ("ip4ip6", IpInIp(outer=6, inner=4)),
        ("ip6ip6", IpInIp(outer=6, inner=6)),
        ("gre", Gre(outer=4)),
        ("grefull", Gre(outer=4, flags=GRE_CSUM | GRE_KEY | GRE_SEQ, key=42)),
        ("gretap", Gre(outer=4, flags=GRE_KEY, key=7, tap=True)),
        ("ip6gre", Gre(outer=6)),
        ("mpls", Mpls(1000, host)),
    ]


def open_device(name: str, number: int, host: int, tap: bool) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR)
    kind = IFF_TAP if tap else IFF_TUN
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), kind | IFF_NO_PI))
    commands = [
        f"link set {name} mtu {TUNNEL_MTU}",
        f"link set {name} up",
        f"address add 10.{number}.0.{host}/24 dev {name}",
        f"address add 2001:db8:{number}::{host}/64 dev {name} nodad",
    ]
    if tap:
        commands.insert(0, f"link set {name} address 02:00:00:00:00:0{host}")
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
    return device


class Wire:
    """Whole frames on the veth device."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.bind(("wire", ETH_P_ALL))
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)

    def send(self, frame: bytes) -> None:
        self.socket.send(frame)

    def receive(self) -> bytes | None:
        frame, notes, _, address = self.socket.recvmsg(MAX_FRAME, socket.CMSG_SPACE(20))
        if address[2] == PACKET_OUTGOING:
            return None
        # The kernel takes the outermost tag out of the frame and hands it over beside it.
        for _, _, data in notes:
            status, *_, tci, tpid = struct.unpack("IIIHHHH", data)
            if status & TP_STATUS_VLAN_VALID:
                return frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
        return frame


class RawIp:
    """What follows an IP header that the kernel writes and reads."""

    def __init__(self, version: int, protocol: int, host: int) -> None:
        self.version = version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        self.socket = socket.socket(family, socket.SOCK_RAW, protocol)
        here, self.there = (
            (f"192.0.2.{number}" if version == 4 else f"2001:db8::{number}", 0)
            for number in (host, 3 - host)
        )
        # Not connected: the other host may not have its socket yet, and a connected socket would
        # fail when it is told so.
        self.socket.bind(here)

    def send(self, packet: bytes) -> None:
        self.socket.sendto(packet, self.there)

    def receive(self) -> bytes:
        packet = self.socket.recv(MAX_FRAME)
        return packet[(packet[0] & 15) * 4 :] if self.version == 4 else packet


def main(host: int) -> None:
    carriers = {}
    devices = {}
    for number, (name, tunnel) in enumerate(tunnels(host), start=1):
        if tunnel.over not in carriers:
            carriers[tunnel.over] = Wire() if tunnel.over == "wire" else RawIp(*tunnel.over, host)
        devices[open_device(name, number, host, tunnel.tap)] = tunnel
    print("ready", flush=True)
    sockets = {carrier.socket: (over, carrier) for over, carrier in carriers.items()}
    while True:
        readable, _, _ = select.select([*devices, *sockets], [], [])
        for source in readable:
            if source in devices:
                tunnel = devices[source]
                wrapped = tunnel.wrap(os.read(source, MAX_FRAME))
                if wrapped is not None:
                    carriers[tunnel.over].send(wrapped)
                continue
            over, carrier = sockets[source]
            received = carrier.receive()
            for device, tunnel in devices.items():
                inner = tunnel.unwrap(received) if received and tunnel.over == over else None
                if inner:
                    os.write(device, inner)


if __name__ == "__main__":
    main(int(sys.argv[1]))
