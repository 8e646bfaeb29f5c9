// Link-layer header types whose packets are read here: the numbers that captures carry.
// Numbers: the "Link-Layer Header Types" registry of the tcpdump project.

export const LINKTYPE_NULL = 0;
export const LINKTYPE_ETHERNET = 1;
export const LINKTYPE_IEEE802_5 = 6;
export const LINKTYPE_ARCNET_BSD = 7;
export const LINKTYPE_SLIP = 8;
export const LINKTYPE_PPP = 9;
export const LINKTYPE_FDDI = 10;
/** DLT_RAW of most systems, found in files of programs that write DLT_ instead of LINKTYPE_. */
export const DLT_RAW = 12;
/** DLT_RAW of OpenBSD. */
export const DLT_RAW_OPENBSD = 14;
export const LINKTYPE_PPP_HDLC = 50;
export const LINKTYPE_PPP_ETHER = 51;
export const LINKTYPE_SYMANTEC_FIREWALL = 99;
export const LINKTYPE_ATM_RFC1483 = 100;
export const LINKTYPE_RAW = 101;
export const LINKTYPE_SLIP_BSDOS = 102;
export const LINKTYPE_C_HDLC = 104;
export const LINKTYPE_IEEE802_11 = 105;
export const LINKTYPE_ATM_CLIP = 106;
export const LINKTYPE_FRELAY = 107;
export const LINKTYPE_LOOP = 108;
export const LINKTYPE_ENC = 109;
export const LINKTYPE_LINUX_SLL = 113;
export const LINKTYPE_PFLOG = 117;
export const LINKTYPE_IEEE802_11_PRISM = 119;
export const LINKTYPE_IP_OVER_FC = 122;
export const LINKTYPE_SUNATM = 123;
export const LINKTYPE_IEEE802_11_RADIOTAP = 127;
export const LINKTYPE_ARCNET_LINUX = 129;
export const LINKTYPE_APPLE_IP_OVER_IEEE1394 = 138;
export const LINKTYPE_IEEE802_11_AVS = 163;
export const LINKTYPE_PPP_PPPD = 166;
export const LINKTYPE_MFR = 182;
export const LINKTYPE_PPI = 192;
export const LINKTYPE_PPP_WITH_DIR = 204;
export const LINKTYPE_C_HDLC_WITH_DIR = 205;
export const LINKTYPE_FRELAY_WITH_DIR = 206;
export const LINKTYPE_MPLS = 219;
export const LINKTYPE_IPNET = 226;
export const LINKTYPE_IPV4 = 228;
export const LINKTYPE_IPV6 = 229;
export const LINKTYPE_NFLOG = 239;
export const LINKTYPE_NETANALYZER = 240;
export const LINKTYPE_NETANALYZER_TRANSPARENT = 241;
export const LINKTYPE_IPOIB = 242;
export const LINKTYPE_PKTAP = 258;
export const LINKTYPE_ETHERNET_MPACKET = 274;
export const LINKTYPE_LINUX_SLL2 = 276;
export const LINKTYPE_DSA_TAG_BRCM = 281;
export const LINKTYPE_DSA_TAG_BRCM_PREPEND = 282;
export const LINKTYPE_DSA_TAG_DSA = 284;
export const LINKTYPE_DSA_TAG_EDSA = 285;

/** The link types whose packets {@link networkFrame} understands. */
export type LinkType =
  | typeof LINKTYPE_NULL
  | typeof LINKTYPE_ETHERNET
  | typeof LINKTYPE_IEEE802_5
  | typeof LINKTYPE_ARCNET_BSD
  | typeof LINKTYPE_SLIP
  | typeof LINKTYPE_PPP
  | typeof LINKTYPE_FDDI
  | typeof DLT_RAW
  | typeof DLT_RAW_OPENBSD
  | typeof LINKTYPE_PPP_HDLC
  | typeof LINKTYPE_PPP_ETHER
  | typeof LINKTYPE_SYMANTEC_FIREWALL
  | typeof LINKTYPE_ATM_RFC1483
  | typeof LINKTYPE_RAW
  | typeof LINKTYPE_SLIP_BSDOS
  | typeof LINKTYPE_C_HDLC
  | typeof LINKTYPE_IEEE802_11
  | typeof LINKTYPE_ATM_CLIP
  | typeof LINKTYPE_FRELAY
  | typeof LINKTYPE_LOOP
  | typeof LINKTYPE_ENC
  | typeof LINKTYPE_LINUX_SLL
  | typeof LINKTYPE_PFLOG
  | typeof LINKTYPE_IEEE802_11_PRISM
  | typeof LINKTYPE_IP_OVER_FC
  | typeof LINKTYPE_SUNATM
  | typeof LINKTYPE_IEEE802_11_RADIOTAP
  | typeof LINKTYPE_ARCNET_LINUX
  | typeof LINKTYPE_APPLE_IP_OVER_IEEE1394
  | typeof LINKTYPE_IEEE802_11_AVS
  | typeof LINKTYPE_PPP_PPPD
  | typeof LINKTYPE_MFR
  | typeof LINKTYPE_PPI
  | typeof LINKTYPE_PPP_WITH_DIR
  | typeof LINKTYPE_C_HDLC_WITH_DIR
  | typeof LINKTYPE_FRELAY_WITH_DIR
  | typeof LINKTYPE_MPLS
  | typeof LINKTYPE_IPNET
  | typeof LINKTYPE_IPV4
  | typeof LINKTYPE_IPV6
  | typeof LINKTYPE_NFLOG
  | typeof LINKTYPE_NETANALYZER
  | typeof LINKTYPE_NETANALYZER_TRANSPARENT
  | typeof LINKTYPE_IPOIB
  | typeof LINKTYPE_PKTAP
  | typeof LINKTYPE_ETHERNET_MPACKET
  | typeof LINKTYPE_LINUX_SLL2
  | typeof LINKTYPE_DSA_TAG_BRCM
  | typeof LINKTYPE_DSA_TAG_BRCM_PREPEND
  | typeof LINKTYPE_DSA_TAG_DSA
  | typeof LINKTYPE_DSA_TAG_EDSA;
