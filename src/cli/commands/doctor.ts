/** `doctor`: what may be wrong with the machine, the store or the broker. */
import { runDoctor } from "../../daemon/doctor.ts";
import { examineBroker } from "../broker-examination.ts";
import { EXIT } from "../exit-code.ts";
import type { Command } from "../invocation.ts";

export const doctor: Command = async (call) => {
  const { shell, settings, output } = call;
  const { nats: url, token, creds } = settings;
  const findings = await runDoctor({
    env: shell.env,
    store: settings.store,
    nodeVersion: process.versions.node,
    examineBroker: (target) => examineBroker(call, target),
    ...(url === undefined
      ? {}
      : {
          nats: { url, ...(token === undefined ? {} : { token }), ...(creds === undefined ? {} : { creds }) },
        }),
  });
  const { green, red, bold, cyan } = output.colors;
  output.data(findings, () =>
    findings
      .map(({ check, ok, detail, remedy }) => {
        const line = `${ok ? green("✔") : red("✖")} ${bold(check.padEnd(14))} ${detail}\n`;
        return remedy === undefined ? line : `${line}  ${" ".repeat(14)} ${cyan(remedy)}\n`;
      })
      .join(""),
  );
  return findings.every(({ ok }) => ok) ? EXIT.done : EXIT.failed;
};
