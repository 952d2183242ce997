import { report } from './beacons.js'
import { start as startFilms } from './films.js'
import { start as startGifs } from './gifs.js'

export { button } from './elements.js'

// One thing plays at a time, and no film of a list plays where nobody looks. Without scripts the browser's own controls
// do all this.
const DECOR = '.preview, [data-gif] video'
const reported = new WeakSet()

document.addEventListener('play', (event) => {
  const medium = event.target
  if (medium.matches(DECOR)) return
  for (const other of document.querySelectorAll('audio, video')) {
    if (other !== medium && !other.matches(DECOR)) other.pause()
  }
  const post = medium.closest('[data-post]')
  // Another size of a film begins to play as well, but nobody played anything new.
  if (!post || reported.has(medium)) return
  reported.add(medium)
  report(post, 'play')
}, true)

const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting && document.pictureInPictureElement !== target) target.pause()
  }
}, { threshold: 0.35 })

export function start(root) {
  startGifs(root)
  for (const video of startFilms(root)) {
    if (!video.closest('[data-single], .captions-player')) watch.observe(video)
  }
}
