// nslink/packet: captures read as streams, and how their packets reach a network stack.

export { CaptureReader } from "./capture_reader.ts";
export { CaptureScanner } from "./capture_scanner.ts";
export { CapturedPacket, type Clock, MAX_PACKET_LENGTH } from "./captured_packet.ts";
export { CaptureError, type CaptureErrorKind } from "./errors.ts";
export {
  DLT_RAW,
  DLT_RAW_OPENBSD,
  isLinkType,
  LINKTYPE_ETHERNET,
  LINKTYPE_IPV4,
  LINKTYPE_IPV6,
  LINKTYPE_LINUX_SLL,
  LINKTYPE_LINUX_SLL2,
  LINKTYPE_LOOP,
  LINKTYPE_NULL,
  LINKTYPE_RAW,
  type LinkType,
  linkTypeName,
} from "./link_type.ts";
export {
  ETH_HLEN,
  linkHeaderLength,
  type NetworkFrame,
  NO_PROTOCOL_NAMED,
  type NoNetworkFrame,
  networkFrame,
  networkProtocol,
  SHORT_PACKET,
} from "./network_frame.ts";
export { type PcapOptions, PcapWriter, type WritablePacket, writePcap } from "./pcap_writer.ts";
export { type CaptureSource, readCapture, readCaptureBatches } from "./read_capture.ts";
export type { PacketSink } from "./record_parser.ts";
