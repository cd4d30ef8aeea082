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
