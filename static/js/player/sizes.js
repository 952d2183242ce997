// The sizes of a film, as its master playlist names them (RFC 8216, section 4.3.4.2); the largest first, sound alone last.
export function parseMaster(text, address) {
  const lines = text.split('\n').map((line) => line.trim())
  const sizes = lines.flatMap((line, number) => {
    if (!line.startsWith('#EXT-X-STREAM-INF:')) return []
    const [, width, height] = /RESOLUTION=(\d+)x(\d+)/.exec(line) ?? []
    const short = width ? Math.min(width, height) : 0
    const url = new URL(lines[number + 1], address).href
    return [{ name: short ? `${short}p` : 'sound', label: short ? `${short}p` : 'Audio only', short, url }]
  })
  const once = new Map(sizes.map((size) => [size.name, size]))
  return [...once.values()].sort((one, other) => other.short - one.short)
}

export async function readSizes(address) {
  const answer = await fetch(address)
  if (!answer.ok) throw new Error(`The playlist answered ${answer.status}.`)
  return parseMaster(await answer.text(), answer.url)
}

// What comes nearest to a wish: that size, else the next smaller one, else the smallest; undefined is for Auto.
export function nearest(sizes, wanted) {
  if (wanted === 'auto') return undefined
  const exact = sizes.find((size) => size.name === wanted)
  if (exact || wanted === 'sound') return exact
  const pictures = sizes.filter((size) => size.short)
  return pictures.find((size) => size.short <= parseInt(wanted, 10)) ?? pictures.at(-1)
}
