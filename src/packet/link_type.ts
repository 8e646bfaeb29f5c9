// Link-layer header types: the numbers that captures carry and the names of those read here.
// Numbers: the "Link-Layer Header Types" registry of the tcpdump project.

export const LINKTYPE_NULL = 0;
export const LINKTYPE_ETHERNET = 1;
/** DLT_RAW of most systems, found in files of programs that write DLT_ instead of LINKTYPE_. */
export const DLT_RAW = 12;
/** DLT_RAW of OpenBSD. */
export const DLT_RAW_OPENBSD = 14;
export const LINKTYPE_RAW = 101;
export const LINKTYPE_LOOP = 108;
export const LINKTYPE_LINUX_SLL = 113;
export const LINKTYPE_IPV4 = 228;
export const LINKTYPE_IPV6 = 229;
export const LINKTYPE_LINUX_SLL2 = 276;

/** The link types whose packets {@link networkFrame} understands. */
export type LinkType =
  | typeof LINKTYPE_NULL
  | typeof LINKTYPE_ETHERNET
  | typeof DLT_RAW
  | typeof DLT_RAW_OPENBSD
  | typeof LINKTYPE_RAW
  | typeof LINKTYPE_LOOP
  | typeof LINKTYPE_LINUX_SLL
  | typeof LINKTYPE_IPV4
  | typeof LINKTYPE_IPV6
  | typeof LINKTYPE_LINUX_SLL2;

const SUPPORTED: Readonly<Record<LinkType, string>> = {
  [LINKTYPE_NULL]: "BSD loopback",
  [LINKTYPE_ETHERNET]: "Ethernet",
  [DLT_RAW]: "raw IP",
  [DLT_RAW_OPENBSD]: "raw IP",
  [LINKTYPE_RAW]: "raw IP",
  [LINKTYPE_LOOP]: "OpenBSD loopback",
  [LINKTYPE_LINUX_SLL]: "Linux cooked v1",
  [LINKTYPE_IPV4]: "raw IPv4",
  [LINKTYPE_IPV6]: "raw IPv6",
  [LINKTYPE_LINUX_SLL2]: "Linux cooked v2",
};

/** Types that people meet and that aren't read here: an error that names them says more. */
const OTHERS: Readonly<Record<number, string>> = {
  6: "IEEE 802.5 Token Ring",
  9: "PPP",
  10: "FDDI",
  50: "PPP in HDLC-like framing",
  51: "PPPoE",
  105: "IEEE 802.11",
  122: "IP over Fibre Channel",
  127: "IEEE 802.11 with radiotap",
  147: "user-defined 0",
  187: "Bluetooth HCI H4",
  189: "USB, Linux",
  195: "IEEE 802.15.4",
  201: "Bluetooth HCI H4 with direction",
  220: "USB, Linux, padded",
  227: "SocketCAN",
  239: "NFLOG",
  249: "USBPcap",
  252: "Wireshark upper PDU",
  253: "Linux netlink",
};

/** Whether packets of link type `number` are read here. */
export function isLinkType(number: number): number is LinkType {
  return Object.hasOwn(SUPPORTED, number);
}

/** A link type for people: `1 (Ethernet)`, or the bare number where no name is known. */
export function linkTypeName(number: number): string {
  const name = isLinkType(number) ? SUPPORTED[number] : OTHERS[number];
  return name === undefined ? `${number}` : `${number} (${name})`;
}
