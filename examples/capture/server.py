"""The server's programs: a web server, a small DNS server and the echo service, over IPv4 and IPv6.

Prints "ready" once all of them listen.
"""

import http.server
import socket
import socketserver
import struct
import threading

HTTP_PORT, DNS_PORT, ECHO_PORT = 80, 53, 7
PAGES = {"/": b"Hello from the other namespace.\n", "/long": b"0123456789abcdef\n" * 250}

TYPE_A, TYPE_AAAA, CLASS_IN = 1, 28, 1
ZONE = {
    ("www.example.com", TYPE_A): socket.inet_pton(socket.AF_INET, "192.0.2.2"),
    ("www.example.com", TYPE_AAAA): socket.inet_pton(socket.AF_INET6, "2001:db8::2"),
    ("mail.example.com", TYPE_A): socket.inet_pton(socket.AF_INET, "198.51.100.25"),
}
# RFC 1035, section 4.1.1: an authoritative answer, recursion desired as the query had it.
ANSWER_FLAGS, NAME_ERROR = 0x8500, 3
TTL_SECONDS = 300
# A name that is the one at the start of the question (section 4.1.4).
POINTER_TO_QUESTION = 0xC00C


class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = PAGES.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")


class Dns(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        query, reply_socket = self.request
        question, name, record_type = parse_question(query)
        address = ZONE.get((name, record_type))
        known = any(name == zone_name for zone_name, _ in ZONE)
        flags = ANSWER_FLAGS if known else ANSWER_FLAGS | NAME_ERROR
        reply = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if address else 0, 0, 0) + question
        if address:
            reply += struct.pack(
                "!HHHIH", POINTER_TO_QUESTION, record_type, CLASS_IN, TTL_SECONDS, len(address)
            )
            reply += address
        reply_socket.sendto(reply, self.client_address)


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, reply_socket = self.request
        reply_socket.sendto(data, self.client_address)


def parse_question(query: bytes) -> tuple[bytes, str, int]:
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    (record_type,) = struct.unpack_from("!H", query, at + 1)
    return query[12 : at + 5], ".".join(labels).lower(), record_type


class DualStackHttp(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Not HTTPServer's: it would look up the host's name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "server", HTTP_PORT


class DualStackUdp(socketserver.ThreadingUDPServer):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def main() -> None:
    servers = [
        DualStackHttp(("::", HTTP_PORT), Pages),
        DualStackUdp(("::", DNS_PORT), Dns),
        DualStackUdp(("::", ECHO_PORT), Echo),
    ]
    print("ready", flush=True)
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
