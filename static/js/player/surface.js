// The picture itself as a control: a click plays and pauses, a touch shows the controls, two touches at a side skip.
const REST = 2600
const TWICE = 300

export function createSurface(figure, player) {
  const { video } = player
  let timer
  let last = { at: 0, side: 0 }

  const mayRest = () => !video.paused && !player.menu.isOpen && !figure.querySelector('.player :focus-visible')

  function setIdle(isIdle) {
    figure.classList.toggle('idle', isIdle)
    player.liftCaptions(!isIdle)
  }

  function rest() {
    if (mayRest()) setIdle(true)
  }

  function wake() {
    setIdle(false)
    clearTimeout(timer)
    timer = setTimeout(rest, REST)
  }

  function touch(event) {
    const box = video.getBoundingClientRect()
    const share = (event.clientX - box.left) / box.width
    const side = share < 0.35 ? -1 : share > 0.65 ? 1 : 0
    const isSecond = side && side === last.side && event.timeStamp - last.at < TWICE
    last = { at: event.timeStamp, side }
    if (isSecond) {
      player.skip(10 * side)
      wake()
    } else if (video.paused) player.toggle()
    else if (figure.classList.contains('idle')) wake()
    else rest()
  }

  video.addEventListener('click', (event) => {
    if (player.menu.isOpen) return
    if (event.pointerType === 'touch') touch(event)
    else player.toggle()
  })
  video.addEventListener('dblclick', (event) => event.pointerType !== 'touch' && player.toggleFull())
  figure.addEventListener('pointermove', (event) => event.pointerType !== 'touch' && wake())
  figure.addEventListener('pointerleave', (event) => {
    if (event.pointerType === 'touch') return
    clearTimeout(timer)
    timer = setTimeout(rest, 500)
  })
  for (const name of ['focusin', 'focusout', 'keydown']) figure.addEventListener(name, wake)
  for (const name of ['play', 'pause', 'seeking']) video.addEventListener(name, wake)
}
