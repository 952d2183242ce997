import { clock, fresh, icon } from './content.js'
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

function button(className, name, label) {
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

function enhanceSound(box) {
  const audio = box.querySelector('audio')
  const length = () => Number.isFinite(audio.duration) ? audio.duration : Number(box.dataset.length)
  const toggle = button('toggle', 'play', `Play ${box.dataset.title}`)
  toggle.firstChild.classList.add('play')
  toggle.append(icon('pause', 'pause'))
  const line = document.createElement('div')
  line.className = 'line'
  const seek = document.createElement('input')
  Object.assign(seek, { type: 'range', className: 'seek', min: 0, max: 1000, value: 0, step: 1 })
  seek.setAttribute('aria-label', 'Place in the sound')
  const times = document.createElement('div')
  times.className = 'clock'
  const [at, whole] = [document.createElement('span'), document.createElement('span')]
  times.append(at, whole)
  line.append(seek, times)
  const show = () => {
    const share = length() ? audio.currentTime / length() : 0
    if (!seek.matches(':active')) seek.value = share * 1000
    seek.style.setProperty('--done', `${seek.value / 10}%`)
    seek.setAttribute('aria-valuetext', `${clock(audio.currentTime)} of ${clock(length())}`)
    at.textContent = clock(audio.currentTime)
    whole.textContent = clock(length())
  }
  const showState = () => {
    box.classList.toggle('on', !audio.paused)
    toggle.setAttribute('aria-label', `${audio.paused ? 'Play' : 'Pause'} ${box.dataset.title}`)
  }
  toggle.addEventListener('click', () => audio.paused ? audio.play().catch(() => {}) : audio.pause())
  seek.addEventListener('input', () => { audio.currentTime = (seek.value / 1000) * length(); show() })
  seek.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -5, ArrowRight: 5, ArrowDown: -5, ArrowUp: 5 }[event.key]
    if (!step) return
    event.preventDefault()
    audio.currentTime = Math.min(Math.max(0, audio.currentTime + step), length())
    show()
  })
  for (const name of ['timeupdate', 'loadedmetadata', 'seeked']) audio.addEventListener(name, show)
  for (const name of ['play', 'pause', 'ended']) audio.addEventListener(name, showState)
  audio.controls = false
  audio.hidden = true
  audio.before(toggle, line)
  show()
}

export function start(root) {
  fresh(root, '[data-gif]', 'gif').forEach(enhanceGif)
  fresh(root, '[data-film]', 'film').forEach(enhanceFilm)
  fresh(root, '[data-sound]', 'sound').forEach(enhanceSound)
}
