import { fresh } from './content.js'
import { button } from './elements.js'
import { enhancePreview } from './previews.js'

// A film is its poster and one button until somebody wants it. Then the player comes, and the film's bytes after it.
const load = () => import('./player/player.js')

async function bring(figure) {
  try {
    const { mount } = await load()
    return mount(figure)
  } catch {
    // Without our player there is still the browser's own.
    const video = figure.querySelector('video')
    video.controls = true
    return {
      play(at) {
        video.play().catch(() => {})
        if (at !== undefined) video.currentTime = at
      },
    }
  }
}

// `at`: seconds; without it where the address says, else where one left off, else the beginning.
export async function playFilm(figure, at) {
  figure.classList.add('on')
  figure.player ??= bring(figure)
  const player = await figure.player
  player.play(at)
}

function enhance(figure) {
  const video = figure.querySelector('video')
  const length = figure.querySelector('.badge')?.textContent
  const play = button('over play', 'play', length ? `Play video, ${length}` : 'Play video')
  video.controls = false
  play.addEventListener('click', () => playFilm(figure))
  video.addEventListener('click', () => figure.classList.contains('on') || playFilm(figure))
  for (const sign of ['pointerenter', 'pointerdown', 'focusin']) figure.addEventListener(sign, () => load().catch(() => {}), { once: true })
  figure.append(play)
  return video
}

export function start(root) {
  fresh(root, '[data-preview]', 'preview').forEach(enhancePreview)
  return fresh(root, '[data-film]', 'film').map(enhance)
}
