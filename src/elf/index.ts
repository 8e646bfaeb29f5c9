/** Reading BPF object files: `nslink/elf`. */

export type {
  Btf,
  BtfArray,
  BtfComposite,
  BtfDataSection,
  BtfDeclarationTag,
  BtfEnum,
  BtfFloat,
  BtfForward,
  BtfFunction,
  BtfInt,
  BtfMember,
  BtfPrototype,
  BtfReference,
  BtfType,
  BtfVariable,
  BtfVoid,
} from "./btf.ts";
export { formatType, resolveType, sizeOfType, typeById } from "./btf_types.ts";
export { ObjectError } from "./error.ts";
export { loadObject } from "./object.ts";
export {
  FUNC_INFO_SIZE,
  type InitialSlot,
  LINE_INFO_SIZE,
  type MapContents,
  type MapReference,
  type MapSpec,
  type ObjectSpec,
  type ProgramSpec,
  type SectionSpec,
  type SourceLine,
  type SubprogramSpec,
} from "./spec.ts";
