/**
 * Gives a canvas its size in pixels. Setting a size empties a canvas, so that this is done by who draws it, in
 * the same frame, and only when it differs: else a frame of nothing is seen.
 */
export function sizeCanvas(canvas: HTMLCanvasElement, width: number, height: number): void {
  const across = Math.round(width * devicePixelRatio);
  const down = Math.round(height * devicePixelRatio);
  if (canvas.width !== across) canvas.width = across;
  if (canvas.height !== down) canvas.height = down;
}

/** As much of a text as there is room for. */
export function clipped(context: CanvasRenderingContext2D, text: string, room: number): string {
  if (context.measureText(text).width <= room) return text;
  let end = Math.max(1, Math.floor((text.length * room) / context.measureText(text).width));
  while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > room) end -= 1;
  return `${text.slice(0, end)}…`;
}
