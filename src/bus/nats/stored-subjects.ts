/** The subjects of a stream that hold messages, page by page as the server tells them. */
import type { NatsLink } from "./link.ts";

export async function* storedSubjects(link: NatsLink, stream: string, filter: string): AsyncIterable<string> {
  for (let offset = 0; ; ) {
    const page = await link.api<{ state: { subjects?: Record<string, number> }; total?: number }>(
      `STREAM.INFO.${stream}`,
      { subjects_filter: filter, offset },
    );
    const found = Object.keys(page.state.subjects ?? {});
    yield* found;
    offset += found.length;
    if (found.length === 0 || offset >= (page.total ?? 0)) return;
  }
}
