/** A response whose client reads only when told: what was written to it is kept as it was written. */
import { EventEmitter } from "node:events";

export class StalledResponse extends EventEmitter {
  readonly written: string[] = [];
  ended = false;
  destroyed = false;
  writableNeedDrain = false;
  socket = { destroySoon: () => this.emit("close") };

  writeHead(): void {}
  write(text: string): boolean {
    this.written.push(text);
    return !this.writableNeedDrain;
  }
  end(text: string): void {
    this.written.push(text);
    this.ended = true;
  }
  read(): void {
    this.writableNeedDrain = false;
    this.emit("drain");
  }
}
