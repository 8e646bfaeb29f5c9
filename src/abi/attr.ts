/**
 * `union bpf_attr` of Linux 6.18, one layout a command. The end of a layout is where the kernel
 * begins to insist on zeros: bytes of the union after it must be 0, else EINVAL.
 */

/** sizeof(union bpf_attr): bytes past it must be 0, else E2BIG. */
export const BPF_ATTR_SIZE = 168;
/** The largest attr that bpf(2) looks at (a page): more is E2BIG. */
export const BPF_ATTR_MAX_SIZE = 4096;

/** BPF_MAP_CREATE */
export const MAP_CREATE = {
  map_type: [0, "u32"],
  key_size: [4, "u32"],
  value_size: [8, "u32"],
  max_entries: [12, "u32"],
  map_flags: [16, "u32"],
  inner_map_fd: [20, "u32"],
  numa_node: [24, "u32"],
  map_name: [28, 16],
  map_ifindex: [44, "u32"],
  btf_fd: [48, "u32"],
  btf_key_type_id: [52, "u32"],
  btf_value_type_id: [56, "u32"],
  btf_vmlinux_value_type_id: [60, "u32"],
  map_extra: [64, "u64"],
  value_type_btf_obj_fd: [72, "s32"],
  map_token_fd: [76, "s32"],
  excl_prog_hash: [80, "u64"],
  excl_prog_hash_size: [88, "u32"],
} as const;

/** BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_LOOKUP_AND_DELETE_ELEM */
export const MAP_ELEM = {
  map_fd: [0, "u32"],
  key: [8, "u64"],
  value: [16, "u64"],
  flags: [24, "u64"],
} as const;

/** BPF_MAP_DELETE_ELEM: a value must not be given. */
export const MAP_DELETE_ELEM = {
  map_fd: [0, "u32"],
  key: [8, "u64"],
} as const;

/** BPF_MAP_GET_NEXT_KEY */
export const MAP_GET_NEXT_KEY = {
  map_fd: [0, "u32"],
  key: [8, "u64"],
  next_key: [16, "u64"],
} as const;

/** BPF_MAP_FREEZE */
export const MAP_FREEZE = { map_fd: [0, "u32"] } as const;

/** BPF_MAP_LOOKUP_BATCH, …_AND_DELETE_BATCH, BPF_MAP_UPDATE_BATCH, BPF_MAP_DELETE_BATCH */
export const MAP_BATCH = {
  in_batch: [0, "u64"],
  out_batch: [8, "u64"],
  keys: [16, "u64"],
  values: [24, "u64"],
  count: [32, "u32"],
  map_fd: [36, "u32"],
  elem_flags: [40, "u64"],
  flags: [48, "u64"],
} as const;

/** BPF_PROG_LOAD */
export const PROG_LOAD = {
  prog_type: [0, "u32"],
  insn_cnt: [4, "u32"],
  insns: [8, "u64"],
  license: [16, "u64"],
  log_level: [24, "u32"],
  log_size: [28, "u32"],
  log_buf: [32, "u64"],
  kern_version: [40, "u32"],
  prog_flags: [44, "u32"],
  prog_name: [48, 16],
  prog_ifindex: [64, "u32"],
  expected_attach_type: [68, "u32"],
  prog_btf_fd: [72, "u32"],
  func_info_rec_size: [76, "u32"],
  func_info: [80, "u64"],
  func_info_cnt: [88, "u32"],
  line_info_rec_size: [92, "u32"],
  line_info: [96, "u64"],
  line_info_cnt: [104, "u32"],
  attach_btf_id: [108, "u32"],
  attach_prog_fd: [112, "u32"],
  core_relo_cnt: [116, "u32"],
  fd_array: [120, "u64"],
  core_relos: [128, "u64"],
  core_relo_rec_size: [136, "u32"],
  log_true_size: [140, "u32"],
  prog_token_fd: [144, "s32"],
  fd_array_cnt: [148, "u32"],
  signature: [152, "u64"],
  signature_size: [160, "u32"],
  keyring_id: [164, "s32"],
} as const;

/** BPF_OBJ_PIN, BPF_OBJ_GET */
export const OBJ = {
  pathname: [0, "u64"],
  bpf_fd: [8, "u32"],
  file_flags: [12, "u32"],
  path_fd: [16, "s32"],
} as const;

/** BPF_PROG_ATTACH, BPF_PROG_DETACH */
export const PROG_ATTACH = {
  target_fd: [0, "u32"],
  attach_bpf_fd: [4, "u32"],
  attach_type: [8, "u32"],
  attach_flags: [12, "u32"],
  replace_bpf_fd: [16, "u32"],
  relative_fd: [20, "u32"],
  expected_revision: [24, "u64"],
} as const;

/** BPF_PROG_TEST_RUN */
export const TEST_RUN = {
  prog_fd: [0, "u32"],
  retval: [4, "u32"],
  data_size_in: [8, "u32"],
  data_size_out: [12, "u32"],
  data_in: [16, "u64"],
  data_out: [24, "u64"],
  repeat: [32, "u32"],
  duration: [36, "u32"],
  ctx_size_in: [40, "u32"],
  ctx_size_out: [44, "u32"],
  ctx_in: [48, "u64"],
  ctx_out: [56, "u64"],
  flags: [64, "u32"],
  cpu: [68, "u32"],
  batch_size: [72, "u32"],
} as const;

/** BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID, BPF_LINK_GET_NEXT_ID, BPF_BTF_GET_NEXT_ID */
export const GET_NEXT_ID = {
  start_id: [0, "u32"],
  next_id: [4, "u32"],
} as const;

/** BPF_PROG_GET_FD_BY_ID, BPF_LINK_GET_FD_BY_ID */
export const GET_FD_BY_ID = { id: [0, "u32"] } as const;

/** BPF_MAP_GET_FD_BY_ID: `next_id` is part of the union and ignored, `open_flags` gives a mode. */
export const MAP_GET_FD_BY_ID = {
  id: [0, "u32"],
  next_id: [4, "u32"],
  open_flags: [8, "u32"],
} as const;

/** BPF_BTF_GET_FD_BY_ID */
export const BTF_GET_FD_BY_ID = {
  id: [0, "u32"],
  next_id: [4, "u32"],
  open_flags: [8, "u32"],
  fd_by_id_token_fd: [12, "s32"],
} as const;

/** BPF_OBJ_GET_INFO_BY_FD */
export const OBJ_GET_INFO = {
  bpf_fd: [0, "u32"],
  info_len: [4, "u32"],
  info: [8, "u64"],
} as const;

/** BPF_PROG_QUERY */
export const PROG_QUERY = {
  target_fd: [0, "u32"],
  attach_type: [4, "u32"],
  query_flags: [8, "u32"],
  attach_flags: [12, "u32"],
  prog_ids: [16, "u64"],
  prog_cnt: [24, "u32"],
  prog_attach_flags: [32, "u64"],
  link_ids: [40, "u64"],
  link_attach_flags: [48, "u64"],
  revision: [56, "u64"],
} as const;

/** BPF_BTF_LOAD */
export const BTF_LOAD = {
  btf: [0, "u64"],
  btf_log_buf: [8, "u64"],
  btf_size: [16, "u32"],
  btf_log_size: [20, "u32"],
  btf_log_level: [24, "u32"],
  btf_log_true_size: [28, "u32"],
  btf_flags: [32, "u32"],
  btf_token_fd: [36, "s32"],
} as const;

/** BPF_LINK_CREATE; bytes 16..59 belong to other link types and are ignored for netns links. */
export const LINK_CREATE = {
  prog_fd: [0, "u32"],
  target_fd: [4, "u32"],
  attach_type: [8, "u32"],
  flags: [12, "u32"],
  other_types: [16, 44],
} as const;

/** BPF_LINK_UPDATE */
export const LINK_UPDATE = {
  link_fd: [0, "u32"],
  new_prog_fd: [4, "u32"],
  flags: [8, "u32"],
  old_prog_fd: [12, "u32"],
} as const;

/** BPF_LINK_DETACH */
export const LINK_DETACH = { link_fd: [0, "u32"] } as const;
