import { icon } from '../content.js'
import { button } from '../elements.js'

// Full screen with our own controls where the browser lets us, else its own; and picture in picture where there is one.
export function createScreens(figure, video) {
  const full = button('player-button', 'full', 'Full screen')
  const pip = button('player-button', 'pip', 'Picture in picture')
  pip.classList.add('player-wide')
  const hasPip = document.pictureInPictureEnabled && !video.disablePictureInPicture

  async function toggleFull() {
    if (document.fullscreenElement === figure) return document.exitFullscreen()
    if (!figure.requestFullscreen) return video.webkitEnterFullscreen?.()
    try {
      await figure.requestFullscreen()
      if (video.videoWidth > video.videoHeight) await screen.orientation.lock('landscape')
    } catch { /* Refused, or a screen that does not turn. */ }
  }

  async function togglePip() {
    if (!hasPip || !video.readyState) return
    try {
      if (document.pictureInPictureElement === video) await document.exitPictureInPicture()
      else await video.requestPictureInPicture()
    } catch { /* Refused by the person or the browser. */ }
  }

  figure.addEventListener('fullscreenchange', () => {
    const isFull = document.fullscreenElement === figure
    full.replaceChildren(icon(isFull ? 'unfull' : 'full'))
    full.setAttribute('aria-label', isFull ? 'Leave full screen' : 'Full screen')
  })
  full.addEventListener('click', toggleFull)
  pip.addEventListener('click', togglePip)
  // Where the row is too narrow for its button.
  const wantsPip = () => hasPip && !pip.offsetWidth
  return { toggleFull, togglePip, wantsPip, buttons: hasPip ? [pip, full] : [full] }
}
