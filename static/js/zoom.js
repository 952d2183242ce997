// Makes one element in a stage larger and moves it about: wheel, pinch, double tap, drag. Nothing outside of the stage
// changes, so the browser's own zoom stays what it is. Places are counted from the middle of the stage.
const STILL = 6
const DOUBLE = { ms: 350, px: 30 }
const SWIPE = 56

export function zoomable(stage, heard) {
  let element = null
  let size = { width: 0, height: 0 }
  let most = 4
  let [scale, x, y] = [1, 0, 0]
  const fingers = new Map()
  let drag, pinch, tapped

  function place() {
    const room = (length, whole) => Math.max(0, (length * scale - whole) / 2)
    const [across, down] = [room(size.width, stage.clientWidth), room(size.height, stage.clientHeight)]
    if (scale > 1) x = Math.min(across, Math.max(-across, x))
    y = Math.min(down, Math.max(-down, y))
    if (element) element.style.transform = `translate(${x}px, ${y}px) scale(${scale})`
  }

  // What lies at `at` stays there.
  function to(wanted, at = { x: 0, y: 0 }) {
    const next = Math.min(most, Math.max(1, wanted))
    if (next === 1) [x, y] = [0, 0]
    else [x, y] = [at.x - (at.x - x) * (next / scale), at.y - (at.y - y) * (next / scale)]
    const changed = next !== scale
    scale = next
    stage.classList.toggle('large', scale > 1)
    place()
    if (changed) heard.zoomed(scale)
  }

  function from(event) {
    const box = stage.getBoundingClientRect()
    return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 }
  }

  function spread() {
    const [a, b] = fingers.values()
    return { far: Math.hypot(a.x - b.x, a.y - b.y) || 1, x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 }
  }

  function begin(at, target) {
    drag = { at, target, x, y, moved: false }
  }

  function tap(event, at) {
    if (drag.target !== element) return heard.missed()
    const again = tapped && event.timeStamp - tapped.when < DOUBLE.ms && Math.hypot(at.x - tapped.x, at.y - tapped.y) < DOUBLE.px
    tapped = again ? null : { ...at, when: event.timeStamp }
    if (again) to(scale > 1 ? 1 : Math.min(most, 2.5), at)
  }

  stage.addEventListener('pointerdown', (event) => {
    if (event.button) return
    event.preventDefault()
    stage.setPointerCapture(event.pointerId)
    fingers.set(event.pointerId, from(event))
    stage.classList.add('held')
    if (fingers.size === 1) begin(from(event), event.target)
    else pinch = { ...spread(), scale }
  })

  stage.addEventListener('pointermove', (event) => {
    if (!fingers.has(event.pointerId)) return
    fingers.set(event.pointerId, from(event))
    if (fingers.size > 1) {
      const now = spread()
      drag.moved = true
      x += now.x - pinch.x
      y += now.y - pinch.y
      to(pinch.scale * (now.far / pinch.far), now)
      pinch = { ...now, scale: pinch.scale, far: pinch.far }
      return
    }
    const at = from(event)
    const [across, down] = [at.x - drag.at.x, at.y - drag.at.y]
    drag.moved ||= Math.hypot(across, down) > STILL
    if (!drag.moved || (scale === 1 && !heard.several())) return
    x = drag.x + across
    if (scale > 1) y = drag.y + down
    place()
  })

  function end(event) {
    if (!fingers.delete(event.pointerId)) return
    if (fingers.size) return begin([...fingers.values()][0], element)
    stage.classList.remove('held')
    const at = from(event)
    const across = at.x - drag.at.x
    const swiped = scale === 1 && Math.abs(across) > SWIPE && Math.abs(across) > Math.abs(at.y - drag.at.y)
    if (scale === 1) { x = 0; place() }
    if (event.type === 'pointercancel') return
    if (!drag.moved) tap(event, at)
    else if (swiped) heard.swiped(across < 0 ? 1 : -1)
  }
  stage.addEventListener('pointerup', end)
  stage.addEventListener('pointercancel', end)

  stage.addEventListener('wheel', (event) => {
    event.preventDefault()
    const lines = event.deltaMode ? 30 : 1
    to(scale * Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), from(event))
  }, { passive: false })

  return {
    get scale() { return scale },
    get most() { return most },
    by: (factor) => to(scale * factor),
    reset: () => to(1),
    move(across, down) { x += across; y += down; place() },
    show(what, shown, limit) {
      [element, size, most] = [what, shown, limit];
      [scale, x, y] = [1, 0, 0]
      tapped = null
      stage.classList.remove('large')
      place()
    },
  }
}
