"""Makes a network device send what a wire would carry: complete checksums, packets of the MTU.

A veth device leaves both to a network card that isn't there, so a capture of it would show
unfinished checksums and TCP segments of any size. usage: no_offload.py DEVICE
"""

import array
import fcntl
import socket
import struct
import sys

SIOCETHTOOL = 0x8946
# linux/ethtool.h
ETHTOOL_STXCSUM = 0x17
ETHTOOL_STSO = 0x1F
ETHTOOL_SGSO = 0x24
ETHTOOL_SGRO = 0x2C


def switch_off(device: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in (ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM):
            value = array.array("B", struct.pack("II", command, 0))
            address, _ = value.buffer_info()
            request = struct.pack("16sP16x", device.encode(), address)
            fcntl.ioctl(any_socket, SIOCETHTOOL, request)


if __name__ == "__main__":
    switch_off(sys.argv[1])
