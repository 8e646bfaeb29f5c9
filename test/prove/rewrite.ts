/**
 * The verifier's code with calls in place of operators, so that it also runs on other numbers than
 * JavaScript's. What has no meaning there becomes an error in the function that it stands in.
 */

import { parseSync } from "rolldown/utils";

/** A node of the syntax tree, as ESTree describes it. */
export interface Syntax {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

/** How operators are written in the rewritten code. Operands are code already. */
export interface Dialect {
  binary(operator: string, a: string, b: string): string;
  unary(operator: string, a: string): string;
  literal(value: number | bigint): string;
  logical(operator: "&&" | "||", a: string, b: string): string;
  conditional(test: string, a: string, b: string): string;
  /** What a statement branches on. */
  test(condition: string): string;
  /** A statement whose ways come together behind it; `assigned` are variables of outside. */
  region(statement: string, assigned: readonly string[]): string;
  whileLoop(test: string, body: string, assigned: readonly string[], name: string): string | null;
  /** What must be a value of JavaScript's own: what a `switch` looks at. */
  concrete(value: string): string;
  set(object: string, key: string, value: string): string;
  /** A function of a module: its body by another name, called by way of this. */
  call(module: string, name: string): string;
}

/** Syntax that means the same for all numbers. */
const PLAIN = new Set([
  ..."ArrayExpression ArrayPattern ArrowFunctionExpression AssignmentPattern".split(" "),
  ..."BlockStatement BreakStatement CallExpression ChainExpression ClassBody".split(" "),
  ..."ClassDeclaration ContinueStatement EmptyStatement ExpressionStatement ForStatement".split(
    " ",
  ),
  ..."ForOfStatement FunctionDeclaration FunctionExpression Identifier MemberExpression".split(" "),
  ..."MethodDefinition NewExpression ObjectExpression ObjectPattern ParenthesizedExpression".split(
    " ",
  ),
  ..."PrivateIdentifier Property PropertyDefinition RestElement ReturnStatement".split(" "),
  ..."SpreadElement SwitchCase TemplateElement TemplateLiteral".split(" "),
  ..."ThisExpression ThrowStatement VariableDeclaration VariableDeclarator".split(" "),
]);

/** Methods that ask a callback for a truth value, which here may be a term. */
const ASKING = new Set(["every", "some", "filter", "find", "findIndex", "findLast", "sort"]);
const NATIVE_OPERATORS = new Set(["in", "instanceof"]);

class Unknown extends Error {}

/** What a module was made into. */
export interface Rewritten {
  /** The body of a function that is given `$`, the imports, and what of the globals it may use. */
  readonly code: string;
  readonly imports: readonly { readonly source: string; readonly code: string }[];
  readonly functions: ReadonlyMap<string, string>;
}

function isSyntax(value: unknown): value is Syntax {
  return typeof value === "object" && value !== null && typeof (value as Syntax).type === "string";
}

/** The nodes in a node, in the order of the text. */
function childrenOf(node: Syntax): Syntax[] {
  const found = Object.entries(node).flatMap(([key, value]) => {
    // `{ a }` is a key and a value in one place.
    if (key === "key" && node.shorthand === true) return [];
    return Array.isArray(value) ? value.filter(isSyntax) : isSyntax(value) ? [value] : [];
  });
  return found.sort((a, b) => a.start - b.start);
}

function contains(node: Syntax, wanted: (node: Syntax) => boolean): boolean {
  return childrenOf(node).some((child) => {
    const isInner = /Function/.test(child.type);
    return wanted(child) || (!isInner && contains(child, wanted));
  });
}

/** Whether a statement may do something else than go on behind it. */
function leaves(node: Syntax): boolean {
  return contains(node, ({ type }) => /^(Return|Break|Continue|Throw)Statement$/.test(type));
}

/** Variables that are assigned in a statement, but declared outside. */
function assignedIn(node: Syntax): string[] {
  const assigned = new Set<string>();
  const declared = new Set<string>();
  const look = (part: Syntax): void => {
    const to = part.type === "AssignmentExpression" ? part.left : part.argument;
    const isAssignment = /^(Assignment|Update)Expression$/.test(part.type);
    if (isAssignment && isSyntax(to) && to.type === "Identifier") assigned.add(String(to.name));
    if (part.type === "VariableDeclarator" && isSyntax(part.id)) {
      if (part.id.type === "Identifier") declared.add(String(part.id.name));
    }
    for (const child of childrenOf(part)) look(child);
  };
  look(node);
  return [...assigned].filter((name) => !declared.has(name));
}

/** Rewrites a module. @param text - JavaScript. */
export function rewrite(module: string, text: string, dialect: Dialect): Rewritten {
  const { program, errors } = parseSync(`${module}.js`, text);
  if (errors.length > 0) throw new Error(`${module}: ${JSON.stringify(errors)}`);
  const imports: { source: string; code: string }[] = [];
  const functions = new Map<string, string>();
  const exported: string[] = [];
  let loops = 0;
  let current = "";

  const part = (node: Syntax, key: string): Syntax => node[key] as Syntax;
  const emitPart = (node: Syntax, key: string): string => emit(part(node, key));
  const fail = (node: Syntax): never => {
    throw new Unknown(`${node.type}: ${text.slice(node.start, node.end)}`);
  };

  /** The text of a node with its children rewritten. */
  function around(node: Syntax): string {
    let out = "";
    let at = node.start;
    for (const child of childrenOf(node)) {
      out += text.slice(at, child.start) + emit(child);
      at = child.end;
    }
    return out + text.slice(at, node.end);
  }

  function assign(target: Syntax, value: string): string {
    if (target.type === "Identifier") return `(${target.name} = ${value})`;
    if (target.type !== "MemberExpression") return fail(target);
    const property = part(target, "property");
    if (property.type === "PrivateIdentifier") return `(${around(target)} = ${value})`;
    const key = target.computed === true ? emit(property) : JSON.stringify(property.name);
    return dialect.set(emitPart(target, "object"), key, value);
  }

  function block(node: Syntax): string {
    return node.type === "BlockStatement" ? emit(node) : `{ ${emit(node)} }`;
  }

  function statement(node: Syntax): string {
    const test = dialect.test(emitPart(node, "test"));
    const otherwise = isSyntax(node.alternate) ? ` else ${block(node.alternate)}` : "";
    const code = `if (${test}) ${block(part(node, "consequent"))}${otherwise}`;
    return leaves(node) ? code : dialect.region(code, assignedIn(node));
  }

  function loop(node: Syntax): string {
    const test = emitPart(node, "test");
    const body = block(part(node, "body"));
    const name = `${module}.${current} ${++loops}`;
    const isWhole = node.type === "WhileStatement" && !leaves(node);
    const whole = isWhole ? dialect.whileLoop(test, body, assignedIn(node), name) : null;
    if (whole !== null) return whole;
    if (node.type === "WhileStatement") return `while (${dialect.test(test)}) ${body}`;
    return `do ${body} while (${dialect.test(test)});`;
  }

  function forLoop(node: Syntax): string {
    const of = (key: string): string => (isSyntax(node[key]) ? emit(part(node, key)) : "");
    const start = of("init").replace(/;$/, "");
    const head = `${start}; ${dialect.test(of("test"))}; ${of("update")}`;
    return `for (${head}) ${block(part(node, "body"))}`;
  }

  function expression(node: Syntax): string | null {
    const operator = String(node.operator);
    switch (node.type) {
      case "Literal": {
        const value = typeof node.bigint === "string" ? BigInt(node.bigint) : node.value;
        const isNumber = typeof value === "number" || typeof value === "bigint";
        return isNumber ? dialect.literal(value) : text.slice(node.start, node.end);
      }
      case "BinaryExpression":
        if (NATIVE_OPERATORS.has(operator)) return fail(node);
        return dialect.binary(operator, emitPart(node, "left"), emitPart(node, "right"));
      case "UnaryExpression": {
        if (!["-", "~", "!", "+"].includes(operator)) return fail(node);
        return dialect.unary(operator, emitPart(node, "argument"));
      }
      case "LogicalExpression": {
        const [a, b] = [emitPart(node, "left"), emitPart(node, "right")];
        if (operator === "??") return `(${a} ?? ${b})`;
        return dialect.logical(operator as "&&" | "||", a, b);
      }
      case "ConditionalExpression":
        return dialect.conditional(
          emitPart(node, "test"),
          emitPart(node, "consequent"),
          emitPart(node, "alternate"),
        );
      case "AssignmentExpression": {
        const left = part(node, "left");
        const value = emitPart(node, "right");
        if (operator === "=") return assign(left, value);
        const simple = operator.slice(0, -1);
        if (["&&", "||", "??"].includes(simple)) return fail(node);
        return assign(left, dialect.binary(simple, emit(left), value));
      }
      case "UpdateExpression": {
        const to = part(node, "argument");
        return assign(to, dialect.binary(operator.slice(1), emit(to), dialect.literal(1)));
      }
      default:
        return null;
    }
  }

  function emit(node: Syntax): string {
    if (node.type === "IfStatement") return statement(node);
    if (/^(While|DoWhile)Statement$/.test(node.type)) return loop(node);
    if (node.type === "ForStatement") return forLoop(node);
    if (node.type === "SwitchStatement") {
      const cases = (node.cases as Syntax[]).map(emit).join("\n");
      return `switch (${dialect.concrete(emitPart(node, "discriminant"))}) {\n${cases}\n}`;
    }
    const found = expression(node);
    if (found !== null) return found;
    if (!PLAIN.has(node.type)) return fail(node);
    if (node.type === "CallExpression") {
      const callee = part(node, "callee");
      const isAsking = isSyntax(callee.property) && ASKING.has(String(callee.property.name));
      if (isAsking) return fail(node);
    }
    return around(node);
  }

  /** A function's body; where something in it can't be expressed, an error that says what. */
  function body(node: Syntax): string {
    try {
      return emit(node);
    } catch (error) {
      if (!(error instanceof Unknown)) throw error;
      return `{ throw new $.Inexpressible(${JSON.stringify(`${module}: ${error.message}`)}); }`;
    }
  }

  function functionOf(node: Syntax): string {
    const { name } = part(node, "id");
    current = String(name);
    const parameters = (node.params as Syntax[]).map((parameter) => emit(parameter)).join(", ");
    functions.set(current, text.slice(node.start, node.end));
    return (
      `function ${name}(...$args) { return ${dialect.call(module, current)}; }\n` +
      `function $${name}(${parameters}) ${body(part(node, "body"))}`
    );
  }

  function classOf(node: Syntax): string {
    const members = (part(node, "body").body as Syntax[]).map((member) => {
      if (member.type !== "MethodDefinition") return emit(member);
      const value = part(member, "value");
      const inner = part(value, "body");
      return text.slice(member.start, inner.start) + body(inner);
    });
    const parent = isSyntax(node.superClass) ? ` extends ${emit(node.superClass)}` : "";
    return `class ${part(node, "id").name}${parent} {\n${members.join("\n")}\n}`;
  }

  function namesOf(node: Syntax): string[] {
    if (node.type === "VariableDeclaration") {
      return (node.declarations as Syntax[]).map((one) => String(part(one, "id").name));
    }
    return [String(part(node, "id").name)];
  }

  function declaration(node: Syntax): string {
    exported.push(...namesOf(node));
    if (node.type === "FunctionDeclaration") return functionOf(node);
    if (node.type === "ClassDeclaration") return classOf(node);
    return emit(node);
  }

  function topLevel(node: Syntax): string {
    if (node.type === "ImportDeclaration") {
      imports.push({ source: String(part(node, "source").value), code: importCode(node) });
      return "";
    }
    if (node.type === "ExportNamedDeclaration") {
      if (isSyntax(node.declaration)) return declaration(node.declaration);
      return (node.specifiers as Syntax[]).length === 0 ? "" : fail(node);
    }
    if (/Declaration$/.test(node.type)) return declaration(node);
    return fail(node);
  }

  function importCode(node: Syntax): string {
    const specifiers = node.specifiers as Syntax[];
    const local = (one: Syntax): string => String(part(one, "local").name);
    const whole = specifiers.find(({ type }) => type === "ImportNamespaceSpecifier");
    if (whole !== undefined) return `const ${local(whole)} = `;
    const names = specifiers.map((one) => `${part(one, "imported").name}: ${local(one)}`);
    return `const { ${names.join(", ")} } = `;
  }

  const parts = (program.body as unknown as Syntax[]).map(topLevel);
  const code = `"use strict";\n${parts.join("\n")}\nreturn { ${exported
    .map((name) => (functions.has(name) ? `${name}, $${name}` : name))
    .join(", ")} };`;
  return { code, imports, functions };
}
