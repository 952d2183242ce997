// Following shows at once; when the site refuses it, the button goes back to what is true.
const before = new WeakMap()

function follows(event) {
  const form = event.detail.ctx?.sourceElement
  return form?.matches?.('form[data-follow]') ? form : undefined
}

document.addEventListener('htmx:before:request', (event) => {
  const button = follows(event)?.querySelector('button')
  if (!button) return
  const { className, textContent, ariaPressed, ariaLabel } = button
  before.set(button.form, { className, textContent, ariaPressed, ariaLabel })
  const now = ariaPressed !== 'true'
  button.classList.toggle('ink', !now)
  button.ariaPressed = String(now)
  button.textContent = now ? 'Following' : 'Follow'
  button.ariaLabel = ariaLabel.replace(/^(Following|Follow)/, button.textContent)
})

function undo(event) {
  const form = follows(event)
  if (form && before.has(form)) Object.assign(form.querySelector('button'), before.get(form))
}

document.addEventListener('htmx:before:swap', (event) => { if ((event.detail.ctx.response?.status ?? 0) >= 400) undo(event) })
document.addEventListener('htmx:error', undo)
