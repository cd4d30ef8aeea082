/**
 * An effect outside that happens once, although a task may be executed more than once. Try:
 *
 *     datahammer run examples/payment/payment.yaml --agents examples/payment/cashier.ts
 *
 * The store of payments stands for a payment service that knows idempotency keys: it is a folder with one file per
 * key, made in one step that fails when the file is there. Kill the agent between the charge and the result: the
 * task is executed again, with the same key, and finds its payment.
 */
import { randomUUID } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { defineAgent } from "datahammer";
import { z } from "zod";

interface Payment {
  id: string;
  amount: number;
}

/** Makes the payment of this key, or gives back the one that was made. */
async function chargeOnce(folder: string, key: string, amount: number): Promise<Payment> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, `${key.replaceAll(":", "_")}.json`);
  const payment = { id: randomUUID(), amount };
  // Written beside it and linked: a process that is killed while it writes leaves no half of a payment.
  const draft = `${file}.${payment.id}`;
  await writeFile(draft, JSON.stringify(payment));
  try {
    await link(draft, file);
    return payment;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return JSON.parse(await readFile(file, "utf8")) as Payment;
  } finally {
    await rm(draft, { force: true });
  }
}

export default defineAgent({
  role: "cashier",
  description: "Charges customers, each once.",
  tasks: {
    charge: {
      description: "charges the customer",
      inputs: z.object({ amount: z.number(), folder: z.string(), slowMs: z.number().default(0) }),
      outputs: z.object({ payment: z.string() }),
      run: async ({ amount, folder, slowMs }, { idempotencyKey, signal }) => {
        const { id } = await chargeOnce(folder, idempotencyKey, amount);
        await wait(slowMs, undefined, { signal });
        return { payment: id };
      },
    },
  },
});
