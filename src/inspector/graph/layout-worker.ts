/** Lays graphs out beside the page, so that it stays smooth meanwhile. */
import { type LayoutRequest, layoutBlocks } from "./layout.ts";

addEventListener("message", ({ data }: MessageEvent<LayoutRequest>) => {
  const answer = layoutBlocks(data);
  postMessage(answer, { transfer: [answer.places.buffer] });
});
