// What a file seems to be, by what the browser says. The server looks at the bytes and has the last word.
const names = { image: 'picture', gif: 'GIF', audio: 'sound', video: 'video' }
const endings = { heic: 'image', heif: 'image', avif: 'image', opus: 'audio', flac: 'audio', m4a: 'audio', mkv: 'video', mov: 'video' }

export function kindOf(file) {
  if (file.type === 'image/gif') return 'gif'
  const kind = file.type.split('/')[0]
  if (kind in names) return kind
  return endings[file.name.split('.').pop().toLowerCase()] ?? null
}

export function sizeOf(bytes) {
  for (const [limit, name] of [[1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB']]) {
    if (bytes >= limit) return `${(bytes / limit).toFixed(1).replace('.0', '')} ${name}`
  }
  return `${bytes} bytes`
}

// Why a file cannot join the others, or nothing.
export function objection(file, limits, others) {
  const kind = kindOf(file)
  if (!kind || file.type === 'image/svg+xml') return `“${file.name}” is not a picture, GIF, sound or video that we take.`
  if (!file.size) return `“${file.name}” is empty.`
  if (file.size > limits[kind]) return `“${file.name}” has ${sizeOf(file.size)}; a ${names[kind]} may have ${sizeOf(limits[kind])}.`
  if (file.size > limits.left) return `“${file.name}” has ${sizeOf(file.size)}, and you have ${sizeOf(Math.max(0, limits.left))} left.`
  if (!others.length) return
  if (kind !== 'image' || others.some((other) => other !== 'image')) return 'A post has up to 10 pictures, or one GIF, one sound or one video.'
  if (others.length >= 10) return 'A post has at most 10 pictures.'
}
