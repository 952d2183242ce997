// Short news at the foot of the page; the region is aria-live, so it is read out, too.
const region = () => document.getElementById('toasts')

export function toast(message, { link, title, stays = 6000 } = {}) {
  const box = document.createElement('div')
  box.className = 'toast'
  box.append(message)
  if (link) {
    const anchor = document.createElement('a')
    anchor.href = link
    anchor.textContent = title ?? 'Open'
    box.append(anchor)
  }
  const close = document.createElement('button')
  close.type = 'button'
  close.textContent = 'Close'
  close.addEventListener('click', () => box.remove())
  box.append(close)
  region().append(box)
  while (region().children.length > 3) region().firstChild.remove()
  if (stays) setTimeout(() => box.matches(':hover, :focus-within') ? setTimeout(() => box.remove(), stays) : box.remove(), stays)
}

// HX-Trigger: {"toast": "Deleted."}
document.addEventListener('toast', (event) => toast(event.detail?.value ?? event.detail))

// A failed part stays as it was, and says why.
document.addEventListener('htmx:before:swap', (event) => {
  const { response, text } = event.detail.ctx
  if ((response?.status ?? 0) < 400 || response.status === 422) return
  event.preventDefault()
  const page = new DOMParser().parseFromString(text ?? '', 'text/html')
  toast(page.querySelector('[data-failure] p, .whoops h1 + p')?.textContent ?? 'That did not work. Please try again.')
})
document.addEventListener('htmx:error', (event) => {
  if (event.detail.ctx?.response) return
  toast('We cannot reach the site. Please try again in a moment.')
})

let bar
function showConnection() {
  if (navigator.onLine) { bar?.remove(); bar = undefined; return }
  if (bar) return
  bar = document.createElement('p')
  bar.className = 'offline'
  bar.setAttribute('role', 'status')
  bar.textContent = 'You are offline. What you wrote stays here.'
  document.body.append(bar)
}
addEventListener('online', showConnection)
addEventListener('offline', showConnection)
showConnection()
