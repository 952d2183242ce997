// What the page says of a film.
export function describe(figure, video) {
  const source = video.querySelector('source')
  const post = figure.closest('[data-post]')
  const [mp4, stretch = ''] = source.src.split('#t=')
  const [start, end] = stretch.split(',').map(Number)
  return {
    id: figure.dataset.film,
    post: post?.dataset.post,
    address: new URL(post?.dataset.address ?? `/p/${post?.dataset.post}`, location.href).href,
    mp4,
    hls: figure.dataset.hls,
    storyboard: readBoard(figure.dataset.storyboard),
    duration: Number(figure.dataset.length) || 0,
    isGrowing: figure.hasAttribute('data-growing'),
    start: start || 0,
    end: end || undefined,
  }
}

function readBoard(words) {
  if (!words) return undefined
  const [url, ...numbers] = words.split(' ')
  const [columns, count, tile_width, tile_height, interval] = numbers.map(Number)
  return { url, columns, count, tile_width, tile_height, interval }
}
