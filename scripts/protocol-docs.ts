/**
 * Writes the JSON Schemas of the wire protocol into docs/protocol.md, from the schemas that the code parses
 * with: `npx tsx scripts/protocol-docs.ts`. A test holds the page against them.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { decisionSchema } from "../src/bus/decisions.ts";
import {
  agentPresenceSchema,
  answerSchema,
  cancelReplySchema,
  cancelRequestSchema,
  controlSchema,
  envChangeSchema,
  envUpdateSchema,
  handoffHopSchema,
  helloReplySchema,
  helloSchema,
  liveSchema,
  observedSchema,
  questionSchema,
  resultSchema,
  submitSchema,
  taskSchema,
} from "../src/bus/messages.ts";
import { plannerQuestionSchema, proposalSchema } from "../src/workflow/planner-task.ts";

const MESSAGES: Record<string, z.ZodType> = {
  task: taskSchema,
  result: resultSchema,
  live: liveSchema,
  question: questionSchema,
  answer: answerSchema,
  "cancel request": cancelRequestSchema,
  "cancel reply": cancelReplySchema,
  hello: helloSchema,
  "hello reply": helloReplySchema,
  "agent card": agentPresenceSchema,
  "environment update": envUpdateSchema,
  submit: submitSchema,
  control: controlSchema,
  "environment change": envChangeSchema,
  hop: handoffHopSchema,
  observed: observedSchema,
  decision: decisionSchema,
  "planner question": plannerQuestionSchema,
  "planner answer": proposalSchema,
};

const LINE_WIDTH = 110;
const PLACE = /<!-- schema: ([a-z ]+) -->\n(?:```json\n[\s\S]*?\n```\n)?<!-- end -->/g;

/** The page with every schema in its place as the code has it. @throws Error for a place without a message */
export function withSchemas(page: string): string {
  return page.replace(PLACE, (_whole, name: string) => {
    const schema = MESSAGES[name];
    if (schema === undefined) throw new Error(`there is no message "${name}"`);
    return `<!-- schema: ${name} -->\n\`\`\`json\n${format(jsonSchema(schema), "")}\n\`\`\`\n<!-- end -->`;
  });
}

/** Names of the messages that the page must show. */
export function messageNames(): string[] {
  return Object.keys(MESSAGES);
}

/** What may be sent: fields with a default may be left out, unknown fields are ignored. */
function jsonSchema(schema: z.ZodType): unknown {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return withoutNoise(rest);
}

/** Leaves out what is true of every JSON number and every JSON object. */
function withoutNoise(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNoise);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(
    ([key, field]) => Math.abs(field as number) !== Number.MAX_SAFE_INTEGER && key !== "propertyNames",
  );
  return Object.fromEntries(kept.map(([key, field]) => [key, withoutNoise(field)]));
}

/** JSON with as much on a line as fits. */
function format(value: unknown, indent: string): string {
  const whole = oneLine(value);
  if (indent.length + whole.length <= LINE_WIDTH || typeof value !== "object" || value === null) return whole;
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    return `[\n${value.map((item) => inner + format(item, inner)).join(",\n")}\n${indent}]`;
  }
  const lines = Object.entries(value).map(
    ([key, field]) => `${inner}${JSON.stringify(key)}: ${format(field, inner)}`,
  );
  return `{\n${lines.join(",\n")}\n${indent}}`;
}

function oneLine(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(oneLine).join(", ")}]`;
  const fields = Object.entries(value).map(([key, field]) => `${JSON.stringify(key)}: ${oneLine(field)}`);
  return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const path = fileURLToPath(new URL("../docs/protocol.md", import.meta.url));
  writeFileSync(path, withSchemas(readFileSync(path, "utf8")));
}
