/**
 * One DuckDB connection in memory, and the record of what was asked of it.
 *
 * Owns the connection and the list of logged queries. Does not own any file: tables that agents share are
 * Parquet files in the run's work folder, so that several processes read them at once without a lock.
 * Extensions are never fetched: a report must not need a network.
 */

import type { DuckDBConnection } from "@duckdb/node-api";
import { DuckDBInstance } from "@duckdb/node-api";

/** A value as it leaves SQL: JSON-safe, dates as ISO text. */
export type Cell = string | number | boolean | null;
export type Row = Record<string, Cell>;

/** One query as the logbook shows it. `rows` are the first ones; `rowCount` is all of them. */
export interface SqlEntry {
  title: string;
  sql: string;
  rows: Row[];
  rowCount: number;
  ms: number;
}

/** Rows of a result that the logbook keeps. */
const LOGGED_ROWS = 20;
/** Characters of a cell that the logbook keeps. */
const LOGGED_CHARS = 120;

export class Database {
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;
  /** Every query that was given a title, in order. */
  readonly log: SqlEntry[] = [];

  private constructor(instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#instance = instance;
    this.#connection = connection;
  }

  /** @param spillFolder where DuckDB may put what does not fit into memory */
  static async open(spillFolder?: string): Promise<Database> {
    const instance = await DuckDBInstance.create(":memory:", {
      autoinstall_known_extensions: "false",
      autoload_known_extensions: "false",
      ...(spillFolder === undefined ? {} : { temp_directory: spillFolder }),
    });
    return new Database(instance, await instance.connect());
  }

  /** Runs SQL without writing it to the log. */
  async rows(sql: string): Promise<Row[]> {
    const reader = await this.#connection.runAndReadAll(sql);
    return reader.getRowObjectsJS().map((row) => {
      const plain: Row = {};
      for (const [name, value] of Object.entries(row)) plain[name] = toCell(value);
      return plain;
    });
  }

  /** Runs SQL and logs it under a title. */
  async query(title: string, sql: string): Promise<Row[]> {
    const from = performance.now();
    const rows = await this.rows(sql).catch((cause: unknown) => {
      throw new Error(
        `the query "${title}" failed: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      );
    });
    this.log.push({
      title,
      sql,
      rows: rows.slice(0, LOGGED_ROWS).map(shorten),
      rowCount: rows.length,
      ms: Math.round((performance.now() - from) * 10) / 10,
    });
    return rows;
  }

  /** The only row of an aggregate. */
  async one(title: string, sql: string): Promise<Row> {
    return (await this.query(title, sql))[0] ?? {};
  }

  /** Names and SQL types of a relation's columns. */
  async describe(relation: string): Promise<{ name: string; type: string }[]> {
    const rows = await this.rows(`DESCRIBE SELECT * FROM ${relation}`);
    return rows.map((row) => ({ name: String(row.column_name), type: String(row.column_type) }));
  }

  interrupt(): void {
    this.#connection.interrupt();
  }

  close(): void {
    this.#connection.closeSync();
    this.#instance.closeSync();
  }
}

/** Opens a database, gives it to the work and closes it, however the work ends. */
export async function withDatabase<T>(
  options: {
    /** Where DuckDB may put what does not fit into memory. */
    spillFolder?: string;
    /** Interrupts the running query when it fires. */
    signal?: AbortSignal;
  },
  work: (db: Database) => Promise<T>,
): Promise<T> {
  const db = await Database.open(options.spillFolder);
  const interrupt = () => db.interrupt();
  options.signal?.addEventListener("abort", interrupt);
  try {
    return await work(db);
  } finally {
    options.signal?.removeEventListener("abort", interrupt);
    db.close();
  }
}

/** Quotes an identifier: the only way in which a column's name may enter SQL. */
export function ident(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Quotes a text literal: the only way in which a value or a file name may enter SQL. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export function num(cell: Cell | undefined): number {
  return typeof cell === "number" ? cell : Number(cell ?? 0);
}

export function numOrNull(cell: Cell | undefined): number | null {
  return typeof cell === "number" && Number.isFinite(cell) ? cell : null;
}

function toCell(value: unknown): Cell {
  if (value === null || value === undefined) return null;
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (value instanceof Date) return value.toISOString();
  return JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? Number(inner) : inner));
}

function shorten(row: Row): Row {
  const short: Row = {};
  for (const [name, value] of Object.entries(row)) {
    short[name] =
      typeof value === "string" && value.length > LOGGED_CHARS ? `${value.slice(0, LOGGED_CHARS)}…` : value;
  }
  return short;
}
