import { fresh, icon } from './content.js'
import { report } from './beacons.js'

// One thing plays at a time, and nothing plays where nobody looks. Without scripts the browser's own controls do all this.
const still = matchMedia('(prefers-reduced-motion: reduce)')

document.addEventListener('play', (event) => {
  if (event.target.muted && event.target.loop) return
  for (const other of document.querySelectorAll('audio, video')) {
    if (other !== event.target && !(other.muted && other.loop)) other.pause()
  }
  const post = event.target.closest('[data-post]')
  if (post) report(post, 'play')
}, true)

const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) target.pause()
    else if (target.closest('[data-gif]') && !still.matches && !target.dataset.held) target.play().catch(() => {})
  }
}, { threshold: 0.35 })

export function button(className, name, label) {
  const made = document.createElement('button')
  made.type = 'button'
  made.className = className
  made.setAttribute('aria-label', label)
  made.append(icon(name))
  return made
}

function enhanceGif(figure) {
  const video = figure.querySelector('video')
  video.controls = false
  const toggle = button('over pause', 'play', 'Play animation')
  const show = () => {
    toggle.setAttribute('aria-label', video.paused ? 'Play animation' : 'Pause animation')
    toggle.replaceChildren(icon(video.paused ? 'play' : 'pause'))
  }
  toggle.addEventListener('click', () => {
    if (video.paused) { delete video.dataset.held; video.play().catch(() => {}) }
    else { video.dataset.held = 'true'; video.pause() }
  })
  video.addEventListener('play', show)
  video.addEventListener('pause', show)
  figure.append(toggle)
  watch.observe(video)
}

function enhanceFilm(figure) {
  const video = figure.querySelector('video')
  const length = figure.querySelector('.badge')?.textContent
  const play = button('over play', 'play', length ? `Play video, ${length}` : 'Play video')
  video.controls = false
  const begin = () => {
    figure.classList.add('on')
    video.controls = true
    video.focus()
    video.play().catch(() => {})
  }
  play.addEventListener('click', begin)
  video.addEventListener('click', () => figure.classList.contains('on') || begin())
  figure.append(play)
  watch.observe(video)
}

export function start(root) {
  fresh(root, '[data-gif]', 'gif').forEach(enhanceGif)
  fresh(root, '[data-film]', 'film').forEach(enhanceFilm)
}
