/** Flows: if this fails, packets of two flows are counted as one, or those of one as two. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeFlowKeys, ETH_P_IP, ETH_P_IPV6 } from "../../src/abi/flow_keys.ts";
import { FlowTable } from "../../src/cli/flow_table.ts";
import { endpoints, protocolName } from "../../src/cli/flows.ts";

/** Few values for each field, so that flows meet again. */
const keys = fc
  .record({
    addrProto: fc.constantFrom(0, ETH_P_IP, ETH_P_IPV6, 7),
    ipProto: fc.constantFrom(6, 17, 253),
    nProto: fc.constantFrom(0x0008, 0x0608, 0x4788, 0x4888),
    sport: fc.constantFrom(0, 80),
    addresses: fc.array(fc.constantFrom(0, 1), { minLength: 32, maxLength: 32 }),
    others: fc.nat(255),
  })
  .map(({ addrProto, ipProto, nProto, sport, addresses, others }) => {
    const bytes = new Uint8Array(56).fill(others);
    const view = new DataView(bytes.buffer);
    view.setUint16(4, addrProto, true);
    bytes[9] = ipProto;
    view.setUint16(10, nProto, true);
    view.setUint16(12, sport, true);
    view.setUint16(14, 0, true);
    // Of an address a few bits differ.
    bytes.set(addresses.slice(0, 4), 16);
    bytes.set(addresses.slice(4, 8), 20);
    bytes.fill(0, 24, 47);
    bytes[47] = addresses[8] ?? 0;
    return bytes;
  });
const packets = fc.array(fc.tuple(keys, fc.integer({ min: 1, max: 1500 })), { maxLength: 60 });

function idOf(bytes: Uint8Array): string {
  const decoded = decodeFlowKeys(bytes);
  return `${protocolName(decoded)} ${endpoints(decoded)}`;
}

test("packets are one flow when people see no difference between them", () => {
  const flows = new FlowTable();
  fc.assert(
    fc.property(packets, (all) => {
      flows.clear();
      const expected = new Map<string, { packets: number; bytes: number }>();
      for (const [bytes, size] of all) {
        flows.addKeys(bytes, size);
        const flow = expected.get(idOf(bytes)) ?? { packets: 0, bytes: 0 };
        expected.set(idOf(bytes), { packets: flow.packets + 1, bytes: flow.bytes + size });
      }
      const sorted = [...expected].sort(([, a], [, b]) => b.packets - a.packets);
      const found = flows.largest(100).map(({ protocol, endpoints: ends, ...sums }) => {
        return [`${protocol} ${ends}`, sums];
      });
      expect(found).toEqual(sorted);
    }),
  );
});

test("a capture in parts comes to the same as in one", () => {
  const [part, whole, merged] = [new FlowTable(), new FlowTable(), new FlowTable()];
  fc.assert(
    fc.property(fc.array(packets, { maxLength: 4 }), (parts) => {
      whole.clear();
      merged.clear();
      for (const all of parts) {
        part.clear();
        for (const [bytes, size] of all) {
          part.addKeys(bytes, size);
          whole.addKeys(bytes, size);
        }
        merged.merge(part.columns);
      }
      expect(merged.largest(100)).toEqual(whole.largest(100));
    }),
  );
});

test("flows beyond the table's room are counted together", () => {
  const flows = new FlowTable();
  const bytes = new Uint8Array(56);
  const view = new DataView(bytes.buffer);
  view.setUint16(4, ETH_P_IP, true);
  for (let flow = 0; flow < 65_536 + 10; flow++) {
    view.setUint32(16, flow, true);
    flows.addKeys(bytes, 60);
  }
  expect([flows.size, flows.overflow]).toEqual([65_536, 10]);
  view.setUint32(16, 3, true);
  flows.addKeys(bytes, 60);
  expect(flows.overflow).toBe(10);
  expect(flows.largest(1)[0]).toMatchObject({ packets: 2, bytes: 120 });
});
