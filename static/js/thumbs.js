import { fresh } from './content.js'

// ThumbHash (evanw.github.io/thumbhash): a picture of about 25 bytes that stands in until the real one comes.
export function decode(hash) {
  const header24 = hash[0] | (hash[1] << 8) | (hash[2] << 16)
  const header16 = hash[3] | (hash[4] << 8)
  const l = (header24 & 63) / 63
  const p = ((header24 >> 6) & 63) / 31.5 - 1
  const q = ((header24 >> 12) & 63) / 31.5 - 1
  const hasAlpha = header24 >> 23
  const isWide = header16 >> 15
  const longSide = hasAlpha ? 5 : 7
  const columns = Math.max(3, isWide ? longSide : header16 & 7)
  const rows = Math.max(3, isWide ? header16 & 7 : longSide)
  let start = hasAlpha ? 6 : 5
  let index = 0
  const channel = (nx, ny, scale) => {
    const terms = []
    for (let cy = 0; cy < ny; cy++) {
      for (let cx = cy ? 0 : 1; cx * ny < nx * (ny - cy); cx++) {
        terms.push((((hash[start + (index >> 1)] >> ((index++ & 1) << 2)) & 15) / 7.5 - 1) * scale)
      }
    }
    return terms
  }
  const lTerms = channel(columns, rows, ((header24 >> 18) & 31) / 31)
  const pTerms = channel(3, 3, (((header16 >> 3) & 63) / 63) * 1.25)
  const qTerms = channel(3, 3, (((header16 >> 9) & 63) / 63) * 1.25)
  const ratio = (isWide ? 32 : (32 * columns) / rows) / (isWide ? (32 * rows) / columns : 32)
  const width = Math.round(ratio > 1 ? 32 : 32 * ratio)
  const height = Math.round(ratio > 1 ? 32 / ratio : 32)
  const pixels = new Uint8ClampedArray(width * height * 4)
  const cosines = (count, at, length) => Array.from({ length: count }, (_, n) => Math.cos((Math.PI / length) * (at + 0.5) * n))
  for (let y = 0, i = 0; y < height; y++) {
    const fy = cosines(Math.max(rows, 3), y, height)
    for (let x = 0; x < width; x++, i += 4) {
      const fx = cosines(Math.max(columns, 3), x, width)
      const sum = (terms, nx, ny, first) => {
        let value = first
        for (let cy = 0, j = 0; cy < ny; cy++) for (let cx = cy ? 0 : 1; cx * ny < nx * (ny - cy); cx++, j++) value += terms[j] * fx[cx] * fy[cy] * 2
        return value
      }
      const L = sum(lTerms, columns, rows, l)
      const P = sum(pTerms, 3, 3, p)
      const Q = sum(qTerms, 3, 3, q)
      const b = L - (2 / 3) * P
      const r = (3 * L - b + Q) / 2
      pixels.set([255 * r, 255 * (r - Q), 255 * b, 255], i)
    }
  }
  return new ImageData(pixels, width, height)
}

export function paint(element, hash) {
  try {
    const image = decode(Uint8Array.from(atob(hash), (letter) => letter.charCodeAt(0)))
    const canvas = document.createElement('canvas')
    canvas.width = image.width
    canvas.height = image.height
    canvas.getContext('2d').putImageData(image, 0, 0)
    element.style.backgroundImage = `url(${canvas.toDataURL()})`
  } catch { /* A placeholder that cannot be read is no reason to fail: the plain ground stays. */ }
}

// Behind a picture with clear parts the placeholder would show through them for good: there the ground of `clear` is enough.
export function start(root) {
  for (const element of fresh(root, '[data-thumb]:not(.clear)', 'thumb')) paint(element, element.dataset.thumb)
}
