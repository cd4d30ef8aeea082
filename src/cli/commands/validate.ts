/** `validate FILE`: checks a workflow without running it. */
import { parseWorkflow } from "../../workflow/parse.ts";
import { EXIT } from "../exit-code.ts";
import { readGivenFile } from "../given-file.ts";
import type { Command } from "../invocation.ts";

export const validate: Command<{ file: string }> = async ({ shell, output }, { file }) => {
  const { graph, issues } = parseWorkflow(await readGivenFile(file, shell.cwd));
  const { green, red, dim } = output.colors;
  output.data({ valid: graph !== undefined, errors: issues }, () => {
    if (graph !== undefined)
      return `${green("✔")} ${file} is valid: ${graph.size} step${graph.size === 1 ? "" : "s"}\n`;
    const lines = issues.map(({ code, step, message, line }) => {
      const place = dim(`${file}${line === undefined ? "" : `:${line}`}`);
      return `${place}  ${red(code)}  ${step === undefined ? "" : `${step}: `}${message}\n`;
    });
    return lines.join("");
  });
  if (graph !== undefined) return EXIT.done;
  output.notice(`${issues.length} ${issues.length === 1 ? "error" : "errors"} in ${file}`);
  return EXIT.noWorkflow;
};
