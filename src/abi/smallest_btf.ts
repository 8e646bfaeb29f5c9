/** BTF with one type, `int`: a header of 24 bytes, the type, and the strings "" and "int". */
export const SMALLEST_BTF: readonly number[] = [
  ...[0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 16, 0, 0, 0, 5, 0, 0, 0],
  ...[1, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 32, 0, 0, 1],
  ...[0, 0x69, 0x6e, 0x74, 0],
];
