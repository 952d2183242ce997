// Runs enhancers on the page and on whatever HTMX brings in later.
const enhancers = []

export function onContent(enhance) {
  enhancers.push(enhance)
  enhance(document)
}

// The new elements are in the page by now; enhancers mark what they did and pass it over the next time.
document.addEventListener('htmx:after:swap', () => enhancers.forEach((enhance) => enhance(document)))

export function refresh() {
  enhancers.forEach((enhance) => enhance(document))
}

// Elements that match and were not enhanced by this name before.
export function fresh(root, selector, name) {
  const found = [...root.querySelectorAll(selector)].filter((element) => !element[`is_${name}`])
  found.forEach((element) => { element[`is_${name}`] = true })
  return found
}

// Where scripts lead people. A sound that plays may want to come along, see pages.js.
export function goTo(url) {
  if (document.dispatchEvent(new CustomEvent('page:go', { detail: url, cancelable: true }))) location.assign(url)
}

export function icon(name, extra = '') {
  const sprite = document.querySelector('svg.icon use')?.getAttribute('href').split('#')[0] ?? ''
  const template = document.createElement('template')
  template.innerHTML = `<svg class="icon ${extra}" aria-hidden="true" width="22" height="22"><use href="${sprite}#${name}"/></svg>`
  return template.content.firstChild
}

export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds || 0))
  const rest = String(whole % 60).padStart(2, '0')
  const minutes = Math.floor(whole / 60)
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${rest}`
}
