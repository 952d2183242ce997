import { fresh, icon } from './content.js'
import { button } from './elements.js'

// A GIF plays while it is seen. It waits for a click where less motion is wanted or bytes are dear, and can always be stopped.
const still = matchMedia('(prefers-reduced-motion: reduce)')
const waits = (video) => still.matches || navigator.connection?.saveData || video.dataset.held

const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) target.pause()
    else if (!waits(target)) target.play().catch(() => {})
  }
}, { threshold: 0.35 })

still.addEventListener('change', () => {
  if (still.matches) document.querySelectorAll('[data-gif] video').forEach((video) => video.pause())
})

function enhance(figure) {
  const video = figure.querySelector('video')
  const toggle = button('over pause', 'play', 'Play animation')
  const show = () => {
    toggle.setAttribute('aria-label', video.paused ? 'Play animation' : 'Pause animation')
    toggle.replaceChildren(icon(video.paused ? 'play' : 'pause'))
  }
  const turn = () => {
    if (video.paused) {
      delete video.dataset.held
      video.play().catch(() => {})
    } else {
      video.dataset.held = 'true'
      video.pause()
    }
  }
  video.controls = false
  video.addEventListener('click', turn)
  toggle.addEventListener('click', turn)
  video.addEventListener('play', show)
  video.addEventListener('pause', show)
  figure.append(toggle)
  watch.observe(video)
}

export function start(root) {
  fresh(root, '[data-gif]', 'gif').forEach(enhance)
}
