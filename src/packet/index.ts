// nslink/packet: captures read as streams, and how their packets reach a network stack.

export { CaptureReader } from "./capture_reader.ts";
export { CaptureScanner } from "./capture_scanner.ts";
export { CapturedPacket, type Clock, MAX_PACKET_LENGTH } from "./captured_packet.ts";
export { CaptureError, type CaptureErrorKind } from "./errors.ts";
export { LINK_TYPE_NOT_READ, NO_PROTOCOL_NAMED, SHORT_PACKET } from "./header_bytes.ts";
export * from "./link_type.ts";
export { linkTypeName } from "./link_type_names.ts";
export { type NetworkFrame, type NoNetworkFrame, networkFrame } from "./network_frame.ts";
export {
  ETH_HLEN,
  findNetworkHeader,
  headerOffset,
  headerProtocol,
  isLinkType,
  LINK_TYPES,
} from "./network_header.ts";
export { type PcapOptions, PcapWriter, type WritablePacket, writePcap } from "./pcap_writer.ts";
export { type CaptureSource, readCapture, readCaptureBatches } from "./read_capture.ts";
export type { PacketSink } from "./record_parser.ts";
