"""The client's programs: what they ask of the server makes the traffic of the capture.

Every exchange is checked: an answer that fails to come ends the program with an error.
"""

import http.client
import socket
import struct
import time

from server import DNS_PORT, ECHO_PORT, HTTP_PORT, PAGES, TYPE_A, TYPE_AAAA
from tunnels import internet_checksum, tunnels

TIMEOUT_SECONDS = 5
SERVER4, SERVER6 = "192.0.2.2", "2001:db8::2"
CLOSED_PORT = 9
# Three packets on a wire with an MTU of 1500.
BIG_DATAGRAM = bytes(range(256)) * 14

# linux/in6.h
IPV6_FLOWLABEL_MGR, IPV6_FLOWINFO_SEND, IPV6_AUTOFLOWLABEL = 32, 33, 70
FLOW_LABEL_GET, FLOW_LABEL_CREATE, FLOW_LABEL_EXCLUSIVE = 0, 1, 1
# Options of no effect: router alert (RFC 2113), and padding in an IPv6 extension header.
ROUTER_ALERT = bytes([148, 4, 0, 0])
PADDING_HEADER = bytes([0, 0, 1, 4, 0, 0, 0, 0])


def udp_socket(server: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.settimeout(TIMEOUT_SECONDS)
    return udp


def fetch(server: str, path: str) -> None:
    connection = http.client.HTTPConnection(server, HTTP_PORT, timeout=TIMEOUT_SECONDS)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    assert body == PAGES.get(path, b""), f"{server}{path}: {len(body)} bytes"


def look_up(server: str, name: str, record_type: int, identifier: int) -> None:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack("!HHHHHH", identifier, 0x0100, 1, 0, 0, 0)
    query += labels + struct.pack("!BHH", 0, record_type, 1)
    with udp_socket(server) as udp:
        if ":" in server:
            udp.setsockopt(socket.IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 0)
        udp.connect((server, DNS_PORT))
        udp.send(query)
        assert udp.recv(512)[:2] == query[:2], name


def ping(server: str, sequence: int) -> None:
    identifier, payload = 0x6E73, bytes(range(32))
    version6 = ":" in server
    kind = (128, 129) if version6 else (8, 0)
    family = socket.AF_INET6 if version6 else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if version6 else socket.IPPROTO_ICMP
    request = struct.pack("!BBHHH", kind[0], 0, 0, identifier, sequence) + payload
    if not version6:
        checksum = struct.pack("!H", internet_checksum(request))
        request = request[:2] + checksum + request[4:]
    with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
        raw.settimeout(TIMEOUT_SECONDS)
        raw.connect((server, 0))
        raw.send(request)
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            reply = raw.recv(2048)
            message = reply if version6 else reply[(reply[0] & 15) * 4 :]
            if message[0] == kind[1] and message[4:8] == request[4:8]:
                return
    raise TimeoutError(server)


def echo(udp: socket.socket, address: tuple, data: bytes) -> None:
    udp.sendto(data, address)
    assert udp.recv(65535) == data, address


def refused(server: str) -> None:
    """A closed TCP port answers with a reset, a closed UDP port with an ICMP message."""
    try:
        socket.create_connection((server, CLOSED_PORT), TIMEOUT_SECONDS).close()
        raise AssertionError("somebody listens on the closed port")
    except ConnectionRefusedError:
        pass
    with udp_socket(server) as udp:
        udp.connect((server, CLOSED_PORT))
        udp.send(b"is anybody there?")
        try:
            udp.recv(512)
        except ConnectionRefusedError:
            pass


def flow_label(label: int) -> None:
    """A datagram with a flow label of our choice; other flows get labels from the kernel."""
    request = socket.inet_pton(socket.AF_INET6, SERVER6) + struct.pack(
        "!IBB", label, FLOW_LABEL_GET, FLOW_LABEL_EXCLUSIVE
    )
    request += struct.pack("HHHI", FLOW_LABEL_CREATE, 0, 0, 0)
    with udp_socket(SERVER6) as udp:
        udp.setsockopt(socket.IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, request)
        udp.setsockopt(socket.IPPROTO_IPV6, IPV6_FLOWINFO_SEND, 1)
        echo(udp, (SERVER6, ECHO_PORT, label, 0), b"labelled")


def header_options() -> None:
    """Datagrams with options in the IPv4 header, and with IPv6 extension headers."""
    with udp_socket(SERVER4) as udp:
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, ROUTER_ALERT)
        echo(udp, (SERVER4, ECHO_PORT), b"router alert")
    with udp_socket(SERVER6) as udp:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, PADDING_HEADER)
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, PADDING_HEADER)
        echo(udp, (SERVER6, ECHO_PORT), b"hop by hop")


def main() -> None:
    for server in (SERVER4, SERVER6):
        for sequence in range(3):
            ping(server, sequence)
        for path in ("/", "/long", "/missing"):
            fetch(server, path)
        look_up(server, "www.example.com", TYPE_A, 0x1001)
        look_up(server, "www.example.com", TYPE_AAAA, 0x1002)
        look_up(server, "mail.example.com", TYPE_A, 0x1003)
        look_up(server, "nobody.example.com", TYPE_A, 0x1004)
        refused(server)
        with udp_socket(server) as udp:
            echo(udp, (server, ECHO_PORT), BIG_DATAGRAM)
    flow_label(0x12345)
    header_options()
    for number, (name, tunnel) in enumerate(tunnels(host=1), start=1):
        servers = [f"10.{number}.0.2", f"2001:db8:{number}::2"]
        if hasattr(tunnel, "inner"):
            servers = [servers[0] if tunnel.inner == 4 else servers[1]]
        for server in servers:
            ping(server, 1)
            look_up(server, "www.example.com", TYPE_A, 0x2000 + number)
            fetch(server, "/")


if __name__ == "__main__":
    main()
