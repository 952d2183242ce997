import { make } from '../elements.js'

// The last picture stays until the next source has one, so that a change of size is not a flash of black.
export function freeze(video) {
  if (video.readyState < 2 || !video.videoWidth) return
  const canvas = make('canvas', 'player-frozen')
  const scale = Math.min(1, (video.clientWidth * devicePixelRatio) / video.videoWidth)
  canvas.width = video.videoWidth * scale
  canvas.height = video.videoHeight * scale
  canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height)
  video.parentElement.querySelector('.player-frozen')?.remove()
  video.after(canvas)
  const thaw = () => canvas.remove()
  for (const name of ['playing', 'seeked', 'error']) video.addEventListener(name, thaw, { once: true })
  video.addEventListener('loadstart', () => video.requestVideoFrameCallback?.(thaw), { once: true })
}
