import { clock, fresh, icon } from './content.js'
import { button } from './media.js'

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
  fresh(root, '[data-sound]', 'sound').forEach(enhanceSound)
}
