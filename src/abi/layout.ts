/**
 * Structs as data: a layout maps each field to its offset and type, and one encoder and one
 * decoder serve all of them. Everything is little-endian unless the type says otherwise.
 */

/** A scalar, `be16` in network byte order, or the length of a byte array. */
export type FieldType = "u8" | "u16" | "be16" | "u32" | "s32" | "u64" | number;

/** Where a field lies in its struct, in bytes, and what it is. */
export type Field<T extends FieldType = FieldType> = readonly [offset: number, type: T];

/** A struct: its fields by name, in the order of their offsets. */
export type Layout = Readonly<Record<string, Field>>;

/** What a field holds in JavaScript: u64 is bigint, smaller scalars number. */
export type ValueOf<T extends FieldType> = T extends "u64"
  ? bigint
  : T extends number
    ? Uint8Array
    : number;

/** The values of a struct's fields, by name. */
export type Values<L extends Layout> = { [K in keyof L]: ValueOf<L[K][1]> };

/** Bytes that a field of this type takes. */
export function sizeOf(type: FieldType): number {
  switch (type) {
    case "u8":
      return 1;
    case "u16":
    case "be16":
      return 2;
    case "u32":
    case "s32":
      return 4;
    case "u64":
      return 8;
    default:
      return type;
  }
}

/** Ends by layout: a layout never changes, and every call asks for one. */
const ends: WeakMap<Layout, number> = new WeakMap();

/** The offset of the first byte after the last field. */
export function endOf(layout: Layout): number {
  const known = ends.get(layout);
  if (known !== undefined) return known;
  let end = 0;
  for (const [offset, type] of Object.values(layout)) end = Math.max(end, offset + sizeOf(type));
  ends.set(layout, end);
  return end;
}

/** Reads one field of the struct that starts at byte 0 of `view`. */
export function readField(view: DataView, [offset, type]: Field): number | bigint | Uint8Array {
  switch (type) {
    case "u8":
      return view.getUint8(offset);
    case "u16":
      return view.getUint16(offset, true);
    case "be16":
      return view.getUint16(offset, false);
    case "u32":
      return view.getUint32(offset, true);
    case "s32":
      return view.getInt32(offset, true);
    case "u64":
      return view.getBigUint64(offset, true);
    default:
      return new Uint8Array(view.buffer, view.byteOffset + offset, type).slice();
  }
}

/** Writes one field; a byte array may be shorter than its field, the rest is left as it is. */
export function writeField(
  view: DataView,
  field: Field,
  value: number | bigint | Uint8Array,
): void {
  // Every field of every call comes through here: a pattern would make an iterator for each.
  const offset = field[0];
  const type = field[1];
  if (value instanceof Uint8Array) {
    if (value.length > sizeOf(type)) {
      throw new RangeError(`${value.length} bytes do not fit a field of ${sizeOf(type)}`);
    }
    new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(value, offset);
    return;
  }
  switch (type) {
    case "u8":
      view.setUint8(offset, Number(value));
      break;
    case "u16":
      view.setUint16(offset, Number(value), true);
      break;
    case "be16":
      view.setUint16(offset, Number(value), false);
      break;
    case "u32":
    case "s32":
      view.setUint32(offset, Number(value), true);
      break;
    case "u64":
      view.setBigUint64(offset, BigInt(value), true);
      break;
    default:
      throw new TypeError("a field of bytes takes a Uint8Array");
  }
}

/**
 * A struct as bytes.
 *
 * @param values - fields left out are zero.
 * @param size - length of the result in bytes; by default up to the end of the last field.
 */
export function encode<L extends Layout>(
  layout: L,
  values: Partial<Values<L>>,
  size: number = endOf(layout),
): Uint8Array {
  const bytes = new Uint8Array(size);
  encodeInto(new DataView(bytes.buffer), layout, values);
  return bytes;
}

/** Writes fields of the struct that starts at byte 0 of `view`; those left out stay as they are. */
export function encodeInto<L extends Layout>(
  view: DataView,
  layout: L,
  values: Partial<Values<L>>,
): void {
  // No Object.entries() here: its arrays cost more than the writing does.
  for (const name in values) {
    const field = layout[name];
    if (field === undefined) throw new TypeError(`the struct has no field ${name}`);
    const value = values[name];
    if (value !== undefined) writeField(view, field, value);
  }
}

/**
 * The fields of a struct.
 *
 * @param bytes - at least as long as the struct's last field reaches.
 */
export function decode<L extends Layout>(layout: L, bytes: Uint8Array): Values<L> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values: Record<string, number | bigint | Uint8Array> = {};
  for (const name in layout) values[name] = readField(view, layout[name] as Field);
  return values as Values<L>;
}
